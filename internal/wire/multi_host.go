package wire

import (
	"errors"
	"fmt"

	"github.com/levelparty/party/internal/store"
)

// multiHost serves a multileveldown guest.
type multiHost struct {
	npmHost
	iterators map[uint64]*multiIterator
}

// multiIterator is open until the guest closes it. Once nothing is left to
// send, its store.Iterator is closed and nil.
type multiIterator struct {
	scan
	id           uint64
	keys, values bool
	room         int64  // entries left until the limit
	credit       uint64 // entries the guest has room for
}

func newMultiHost(c *hostConn) hostCodec {
	return &multiHost{
		npmHost:   npmHost{c: c, fault: multiText, bounds: multiBounds},
		iterators: make(map[uint64]*multiIterator),
	}
}

// multiText says an error in the words of the npm databases, by which levelup
// and others tell what happened.
func multiText(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, store.ErrNotFound):
		return "NotFound: "
	case errors.Is(err, store.ErrReadOnly):
		return "Database is readonly"
	case errors.Is(err, store.ErrCorrupted):
		return "Corruption: " + err.Error()
	}
	return err.Error()
}

// multiBounds follows leveldown: an empty range option is as good as none.
func multiBounds(o npmOptions) store.Bounds {
	for _, side := range []*[]byte{&o.gt, &o.gte, &o.lt, &o.lte} {
		if len(*side) == 0 {
			*side = nil
		}
	}
	return store.Range(o.gt, o.gte, o.lt, o.lte)
}

func (h *multiHost) handle(frame []byte) error {
	tag, msg := frame[0], frame[1:]
	if tag != npmIterator {
		return h.npmHost.handle(tag, msg)
	}
	m, err := decodeMultiIterator(msg)
	if err != nil {
		return fmt.Errorf("iterator: %w", err)
	}
	it := h.iterators[m.id]
	if m.batch == 0 {
		if it != nil {
			delete(h.iterators, m.id)
			h.ranges.remove(m.id)
			it.finish()
		}
		return nil
	}
	if it == nil {
		if err := h.settle(); err != nil {
			return err
		}
		if len(h.iterators) >= maxIterators {
			return h.finish(m.id, errTooManyIterators)
		}
		bounds, err := h.ranges.add(h.c.host, m.id, multiBounds(m.options)) // the message does not outlive the call
		if err != nil {
			return h.finish(m.id, err)
		}
		it = h.open(m, bounds)
	}
	// Credit is set, not added: a guest counts from the message it sends.
	it.credit = m.batch
	return h.push(it)
}

func (h *multiHost) open(m multiIteratorMessage, bounds store.Bounds) *multiIterator {
	o := m.options
	it := &multiIterator{
		id: m.id, keys: o.keys, values: o.values,
		scan: scan{it: h.c.host.Store.Iterator(bounds, nil), reverse: o.reverse},
		room: room(o.limit, 0),
	}
	it.start()
	h.iterators[m.id] = it
	return it
}

// push sends entries, each in a frame of its own, until the credit is used up
// or nothing is left.
func (h *multiHost) push(it *multiIterator) error {
	for it.credit > 0 && it.it != nil {
		it.credit--
		if it.room > 0 && it.next() {
			it.room--
			// A side the guest does not want is sent empty: the end is what has
			// neither.
			key, value := []byte{}, []byte{}
			if it.keys {
				key = orEmpty(it.it.Key())
			}
			if it.values {
				value = orEmpty(it.it.Value())
			}
			if err := h.send(it.id, "", key, value); err != nil {
				return err
			}
			continue
		}
		err := it.it.Err()
		it.finish()
		return h.finish(it.id, err)
	}
	return nil
}

// finish sends an iterator's end, or its error.
func (h *multiHost) finish(id uint64, err error) error {
	if h.c.unanswerable(err) {
		return err
	}
	return h.send(id, multiText(err), nil, nil)
}

func (h *multiHost) send(id uint64, fault string, key, value []byte) error {
	large, err := h.c.hold(len(key) + len(value))
	if err != nil {
		return err
	}
	defer large.release()
	return h.c.answer(func(dst []byte) []byte {
		dst, mark := beginFrame(dst, npmIteratorData)
		return endFrame(appendMultiData(dst, id, fault, key, value), mark)
	})
}

func (it *multiIterator) finish() {
	if it.it != nil {
		it.it.Close()
		it.it = nil
	}
}

func (h *multiHost) close() {
	for _, it := range h.iterators {
		it.finish()
	}
	h.iterators = nil
}
