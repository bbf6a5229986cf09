package wire

import (
	"errors"
	"fmt"

	"github.com/levelparty/party/internal/store"
)

// manyHost serves a many-level guest.
type manyHost struct {
	npmHost
	iterators map[uint64]*manyIterator
}

// Flow control of many-level: the host sends one entry, because that is often
// all a guest wants; once that is acknowledged it keeps two chunks on their
// way.
const (
	manyUnacked    = 2
	manyChunkBytes = 32 << 10
)

type manyIterator struct {
	scan
	id, seq      uint64
	bounds       store.Bounds
	keys, values bool
	limit        int64
	consumed     uint64 // entries the guest said it has read
	room         int64  // entries that may still be sent at this seq
	unacked      int
	first        bool // nothing sent yet at this seq
	ended        bool
}

func newManyHost(c *hostConn) hostCodec {
	return &manyHost{
		npmHost:   npmHost{c: c, fault: manyCode, bounds: manyBounds},
		iterators: make(map[uint64]*manyIterator),
	}
}

// manyCode names an error as many-level hosts do.
func manyCode(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, store.ErrNotFound):
		return "LEVEL_NOT_FOUND"
	case errors.Is(err, store.ErrReadOnly):
		return "LEVEL_READONLY"
	case errors.Is(err, store.ErrCorrupted):
		return "LEVEL_CORRUPTION"
	}
	return "LEVEL_REMOTE_ERROR"
}

// manyBounds follows classic-level: where gte and gt, or lte and lt, are both
// given, the inclusive one counts, and an empty option is a bound like others.
func manyBounds(o npmOptions) store.Bounds {
	gt, lt := o.gt, o.lt
	if o.gte != nil {
		gt = nil
	}
	if o.lte != nil {
		lt = nil
	}
	return store.Range(gt, o.gte, lt, o.lte)
}

func (h *manyHost) handle(frame []byte) error {
	tag, msg := frame[0], frame[1:]
	switch tag {
	case npmIterator:
		if err := h.settle(); err != nil {
			return err
		}
		return h.open(msg)
	case manyIteratorClose, manyIteratorAck, manyIteratorSeek:
		m, err := decodeManyStep(msg, tag, false)
		if err != nil {
			return fmt.Errorf("iterator step %d: %w", tag, err)
		}
		it := h.iterators[m.id]
		if it == nil {
			return nil // refused, or closed while this was on its way
		}
		switch tag {
		case manyIteratorClose:
			delete(h.iterators, m.id)
			h.ranges.remove(m.id)
			it.it.Close()
			return nil
		case manyIteratorAck:
			return h.ack(it, m.seq, m.consumed)
		default:
			return h.seek(it, m.seq, m.bytes)
		}
	}
	return h.npmHost.handle(tag, msg)
}

func (h *manyHost) open(msg []byte) error {
	m, err := decodeManyIterator(msg)
	if err != nil {
		return fmt.Errorf("iterator: %w", err)
	}
	if h.iterators[m.id] != nil {
		return nil // as the npm host does
	}
	it := &manyIterator{
		id: m.id, seq: m.seq,
		keys:     m.options.keys,
		values:   m.options.values || !m.options.keys,
		limit:    m.options.limit,
		consumed: m.consumed,
	}
	if len(h.iterators) >= maxIterators {
		return h.sendError(it, errTooManyIterators)
	}
	if it.bounds, err = h.ranges.add(h.c.host, m.id, manyBounds(m.options)); err != nil {
		return h.sendError(it, err)
	}
	it.scan = scan{it: h.c.host.Store.Iterator(it.bounds, nil), reverse: m.options.reverse}
	h.iterators[m.id] = it

	it.rewind(m.seq)
	switch {
	case m.seek != nil:
		it.moveTo(m.seek)
	case m.bookmark != nil:
		it.after(m.bookmark)
	default:
		it.start()
	}
	return h.push(it)
}

// rewind begins a new walk.
func (it *manyIterator) rewind(seq uint64) {
	it.seq = seq
	it.unacked = 0
	it.first, it.ended = true, false
	it.room = room(it.limit, it.consumed)
}

// moveTo places it at target; outside of the range there is nothing.
func (it *manyIterator) moveTo(target []byte) {
	if it.bounds.Contains(target) {
		it.from(target)
	} else {
		it.end()
	}
}

func (h *manyHost) ack(it *manyIterator, seq, consumed uint64) error {
	if it.seq != seq {
		return nil // of data that a seek has overtaken
	}
	it.unacked = max(0, it.unacked-1)
	it.consumed = max(it.consumed, consumed)
	return h.push(it)
}

func (h *manyHost) seek(it *manyIterator, seq uint64, target []byte) error {
	it.rewind(seq)
	it.moveTo(target)
	return h.push(it)
}

// push sends what the guest has room for.
func (h *manyHost) push(it *manyIterator) error {
	for !it.ended && it.unacked < manyUnacked {
		first := it.first
		it.first = false
		sent, exhausted := 0, false
		var large *hold // of the entry that fills the chunk
		err := h.c.answer(func(dst []byte) []byte {
			dst, sent, exhausted = it.appendChunk(dst, first, func(size int) { large, _ = h.c.hold(size) })
			return dst
		})
		large.release()
		if err != nil {
			return err
		}
		if sent > 0 {
			it.unacked++
		}
		if exhausted {
			it.ended = true
			if err := it.it.Err(); err != nil {
				return h.sendError(it, err)
			}
			return h.c.answer(func(dst []byte) []byte {
				dst, mark := beginFrame(dst, manyIteratorEnd)
				return endFrame(appendManyEnd(dst, it.id, it.seq), mark)
			})
		}
		if first {
			return nil
		}
	}
	return nil
}

// appendChunk appends a frame of entries, or nothing if there are none. hold is
// told the size of each entry before it is appended.
func (it *manyIterator) appendChunk(dst []byte, single bool, hold func(size int)) (out []byte, sent int, exhausted bool) {
	start := len(dst)
	dst, mark := beginFrame(dst, npmIteratorData)
	dst = appendManyData(dst, it.id, it.seq)
	for {
		if it.room <= 0 || !it.next() {
			exhausted = true
			break
		}
		size := 0
		if it.keys {
			size += len(it.it.Key())
		}
		if it.values {
			size += len(it.it.Value())
		}
		hold(size)
		if it.keys {
			dst = appendItem(dst, it.it.Key())
		}
		if it.values {
			dst = appendItem(dst, it.it.Value())
		}
		it.room--
		sent++
		if single || len(dst)-start >= manyChunkBytes {
			exhausted = it.room <= 0
			break
		}
	}
	if sent == 0 {
		return dst[:start], 0, exhausted
	}
	return endFrame(dst, mark), sent, exhausted
}

func (h *manyHost) sendError(it *manyIterator, err error) error {
	if h.c.unanswerable(err) {
		return err
	}
	return h.c.answer(func(dst []byte) []byte {
		dst, mark := beginFrame(dst, manyIteratorError)
		return endFrame(appendManyError(dst, it.id, it.seq, manyCode(err)), mark)
	})
}

func (h *manyHost) close() {
	for _, it := range h.iterators {
		it.it.Close()
	}
	h.iterators = nil
}
