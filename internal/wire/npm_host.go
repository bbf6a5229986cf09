package wire

import (
	"errors"
	"fmt"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/store"
)

// npmHost is what the hosts of both npm protocols have in common: everything
// but iterators and the words for errors.
type npmHost struct {
	c      *hostConn
	fault  func(error) string            // the protocol's word for an error, "" for nil
	bounds func(npmOptions) store.Bounds // what the protocol's range options mean
	writes gather
	ranges ranges // of iterators
}

// maxIterators is how many iterators one guest may hold open. Each pins a
// state of the database.
const maxIterators = 1024

var errTooManyIterators = fmt.Errorf("more than %d open iterators: %w", maxIterators, store.ErrTooLarge)

// handle carries out a request that is no iterator's.
func (h *npmHost) handle(tag byte, msg []byte) error {
	switch tag {
	case npmPut, npmDelete:
		return h.write(tag, msg)
	case npmBatch:
		return h.batch(msg)
	}
	// What is asked now must see what was written before.
	if err := h.settle(); err != nil {
		return err
	}
	switch tag {
	case npmGet:
		return h.get(msg)
	case npmGetMany:
		return h.getMany(msg)
	case npmClear:
		return h.clear(msg)
	}
	return fmt.Errorf("unknown tag %d: %w", tag, store.ErrInvalid)
}

func (h *npmHost) write(tag byte, msg []byte) error {
	m, err := decodeKeyMessage(msg)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if tag == npmDelete {
		return h.gather(m.id, 1, format.AppendDelete(h.writes.records, m.key))
	}
	if m.value == nil {
		return fmt.Errorf("put without a value: %w", store.ErrInvalid)
	}
	return h.gather(m.id, 1, format.AppendPut(h.writes.records, m.key, m.value))
}

func (h *npmHost) batch(msg []byte) error {
	id, count, records, err := decodeBatch(msg, h.writes.records)
	if err != nil {
		return fmt.Errorf("batch: %w", err)
	}
	return h.gather(id, count, records)
}

func (h *npmHost) gather(id uint64, count int, records []byte) error {
	h.writes.add(id, count, records)
	if h.writes.full() {
		return h.settle()
	}
	return nil
}

// settle commits and answers the writes gathered so far.
func (h *npmHost) settle() error {
	return h.writes.commit(h.c.ctx, h.c.host.Store, func(id uint64, err error) error {
		return h.callback(id, nil, err)
	})
}

func (h *npmHost) callback(id uint64, value []byte, err error) error {
	if h.c.unanswerable(err) {
		return err
	}
	return h.c.answer(func(dst []byte) []byte {
		dst, mark := beginFrame(dst, npmCallback)
		return endFrame(appendCallback(dst, id, h.fault(err), value), mark)
	})
}

func (h *npmHost) get(msg []byte) error {
	m, err := decodeKeyMessage(msg)
	if err != nil {
		return fmt.Errorf("get: %w", err)
	}
	value, hold, err := h.c.value(m.key, nil)
	defer hold.release()
	if err == nil && value == nil {
		value = []byte{}
	}
	return h.callback(m.id, value, err)
}

// lookup returns a value that is not nil unless there is an error.
func (h *npmHost) lookup(key []byte, snap store.Snapshot) ([]byte, error) {
	value, err := h.c.host.Store.Get(key, snap)
	if err == nil && value == nil {
		value = []byte{}
	}
	return value, err
}

// getMany reads all keys at one moment. It builds the answer meanwhile, and
// gives up where that grows beyond what any frame may be.
func (h *npmHost) getMany(msg []byte) error {
	id, err := decodeGetMany(msg, nil) // fields may come in any order
	if err != nil {
		return fmt.Errorf("get many: %w", err)
	}
	snap, fault := h.c.host.Store.Snapshot()
	if fault == nil {
		defer snap.Release()
	}
	var values []byte // encoded
	var hold *hold
	if fault == nil {
		hold, fault = h.c.roomy(func(limit int) (err error) {
			values, err = h.collect(msg, snap, limit)
			return err
		})
	}
	defer hold.release()
	if errors.Is(fault, errRoom) {
		fault = fmt.Errorf("values of more than %d bytes: %w", h.c.host.maxFrame(), store.ErrTooLarge)
	}
	if h.c.unanswerable(fault) {
		return fault
	}
	if fault != nil {
		values = nil
	}
	return h.c.answer(func(dst []byte) []byte {
		dst, mark := beginFrame(dst, npmGetManyCallback)
		dst = appendCallback(dst, id, h.fault(fault), nil) // an id, as in GetManyCallback
		return endFrame(append(dst, values...), mark)
	})
}

// collect gets the values of the keys in msg, encoded. errRoom: they are larger
// than limit.
func (h *npmHost) collect(msg []byte, snap store.Snapshot, limit int) (values []byte, fault error) {
	_, _ = decodeGetMany(msg, func(key []byte) {
		if fault != nil {
			return
		}
		value, err := h.lookup(key, snap)
		switch {
		case err != nil && !errors.Is(err, store.ErrNotFound):
			fault = err
		case len(values)+len(value) > limit:
			fault = errRoom
		default:
			values = appendValue(values, value)
		}
	})
	return values, fault
}

func (h *npmHost) clear(msg []byte) error {
	m, err := decodeClear(msg)
	if err != nil {
		return fmt.Errorf("clear: %w", err)
	}
	return h.callback(m.id, nil, h.clearRange(m.options))
}

func (h *npmHost) clearRange(o npmOptions) error {
	c := store.Clear{Bounds: h.bounds(o), Reverse: o.reverse, Limit: max(o.limit, -1)}
	for c.Limit != 0 && !c.Bounds.Empty() {
		n, more, err := h.c.host.Store.Clear(h.c.ctx, c)
		if err != nil {
			return fmt.Errorf("clear: %w", err)
		}
		if !more {
			break
		}
		if c.Limit > 0 {
			c.Limit = max(c.Limit-n, 0)
		}
	}
	return nil
}

// room is how many entries a limit leaves once some have been consumed.
func room(limit int64, consumed uint64) int64 {
	switch {
	case limit < 0:
		return maxRoom
	case consumed >= uint64(limit):
		return 0
	}
	return limit - int64(consumed)
}

const maxRoom = 1<<63 - 1

// scan walks a store.Iterator in one direction. It moves on only when the next
// entry is wanted, so that reading the first one costs no more than that.
type scan struct {
	it      store.Iterator
	reverse bool
	placed  bool // the entry it stands on has been looked at by nobody
	valid   bool // it stands on an entry
}

// next goes to the next entry.
func (s *scan) next() bool {
	switch {
	case s.placed:
		s.placed = false
	case !s.valid:
	case s.reverse:
		s.valid = s.it.Prev()
	default:
		s.valid = s.it.Next()
	}
	return s.valid
}

// start places s before its first entry.
func (s *scan) start() {
	if s.reverse {
		s.place(s.it.Last())
	} else {
		s.place(s.it.First())
	}
}

// from places s before the first entry at or behind target, in the direction
// of the walk.
func (s *scan) from(target []byte) {
	ok := s.it.Seek(target)
	if s.reverse {
		switch {
		case !ok:
			ok = s.it.Err() == nil && s.it.Last()
		case string(s.it.Key()) != string(target):
			ok = s.it.Prev()
		}
	}
	s.place(ok)
}

// after places s before the first entry strictly behind key. In reverse the
// npm hosts look for a target just below key instead, and so miss the keys
// between the two.
func (s *scan) after(key []byte) {
	switch {
	case !s.reverse:
		s.place(s.it.Seek(store.After(key)))
	case s.it.Seek(key):
		s.place(s.it.Prev())
	default:
		s.place(s.it.Err() == nil && s.it.Last())
	}
}

func (s *scan) end() { s.place(false) }

func (s *scan) place(valid bool) { s.placed, s.valid = true, valid }
