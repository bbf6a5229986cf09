// Package memstore is a Store that lives in memory, for tests of the socket
// protocols. Every state is a sorted slice that is never changed, so a
// snapshot is a reference; a write costs a copy.
package memstore

import (
	"bytes"
	"context"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/store"
)

// Store implements store.Store. Its zero value is empty and ready.
type Store struct {
	mu    sync.Mutex // serialises writes
	state atomic.Pointer[state]
	open  atomic.Int64
	fail  atomic.Pointer[error]

	// ClearChunk is how many keys one step of Clear deletes at most; 0 means
	// all. Constant once in use.
	ClearChunk int
}

type entry struct{ key, value []byte }

type state struct{ entries []entry }

// New returns an empty store.
func New() *Store { return new(Store) }

func (s *Store) load() *state {
	if st := s.state.Load(); st != nil {
		return st
	}
	return new(state)
}

// Fail makes every operation return err from now on; nil ends that.
func (s *Store) Fail(err error) { s.fail.Store(&err) }

func (s *Store) failure() error {
	if p := s.fail.Load(); p != nil {
		return *p
	}
	return nil
}

// Open returns how many iterators and snapshots have not been given back.
func (s *Store) Open() int { return int(s.open.Load()) }

// Len returns how many keys there are.
func (s *Store) Len() int { return len(s.load().entries) }

func (st *state) find(key []byte) (i int, found bool) {
	return slices.BinarySearchFunc(st.entries, key, func(e entry, k []byte) int { return bytes.Compare(e.key, k) })
}

func (s *Store) at(snap store.Snapshot) *state {
	if snap == nil {
		return s.load()
	}
	return snap.(*snapshot).state
}

// Get implements store.Store.
func (s *Store) Get(key []byte, snap store.Snapshot) ([]byte, error) {
	if err := s.failure(); err != nil {
		return nil, err
	}
	st := s.at(snap)
	i, found := st.find(key)
	if !found {
		return nil, store.ErrNotFound
	}
	return bytes.Clone(st.entries[i].value), nil
}

// Has implements store.Store.
func (s *Store) Has(key []byte, snap store.Snapshot) (bool, error) {
	if err := s.failure(); err != nil {
		return false, err
	}
	_, found := s.at(snap).find(key)
	return found, nil
}

type snapshot struct {
	store *Store
	state *state
	once  sync.Once
}

func (sn *snapshot) Release() { sn.once.Do(func() { sn.store.open.Add(-1) }) }

// Snapshot implements store.Store.
func (s *Store) Snapshot() (store.Snapshot, error) {
	if err := s.failure(); err != nil {
		return nil, err
	}
	s.open.Add(1)
	return &snapshot{store: s, state: s.load()}, nil
}

// Commit implements store.Store.
func (s *Store) Commit(ctx context.Context, writes []*store.Write) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range writes {
		if w.Err = s.failure(); w.Err == nil {
			w.Err = s.applyLocked(w.Records)
		}
	}
}

// applyLocked makes the next state: all records take effect or none.
func (s *Store) applyLocked(records []byte) error {
	entries := slices.Clone(s.load().entries)
	for len(records) > 0 {
		r, rest, err := format.NextRecord(records)
		if err != nil {
			return err
		}
		records = rest
		i, found := (&state{entries}).find(r.Key)
		e := entry{bytes.Clone(r.Key), append([]byte{}, r.Value...)}
		switch {
		case r.Delete && found:
			entries = slices.Delete(entries, i, i+1)
		case r.Delete:
		case found:
			entries[i] = e
		default:
			entries = slices.Insert(entries, i, e)
		}
	}
	s.state.Store(&state{entries})
	return nil
}

// Clear implements store.Store.
func (s *Store) Clear(ctx context.Context, c store.Clear) (n int64, more bool, err error) {
	if err := s.failure(); err != nil {
		return 0, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.load().entries
	lo, hi := within(old, c.Bounds)
	limit := hi - lo
	if c.Limit >= 0 && int64(limit) > c.Limit {
		limit = int(c.Limit)
	}
	if s.ClearChunk > 0 && limit > s.ClearChunk {
		limit, more = s.ClearChunk, true
	}
	if c.Reverse {
		lo = hi - limit
	} else {
		hi = lo + limit
	}
	s.state.Store(&state{slices.Delete(slices.Clone(old), lo, hi)})
	return int64(limit), more, nil
}

// within returns the part of entries that b admits.
func within(entries []entry, b store.Bounds) (lo, hi int) {
	lo = sort.Search(len(entries), func(i int) bool { return bytes.Compare(entries[i].key, b.Lower) >= 0 })
	hi = len(entries)
	if b.Upper != nil {
		hi = sort.Search(len(entries), func(i int) bool { return bytes.Compare(entries[i].key, b.Upper) >= 0 })
	}
	return lo, max(lo, hi)
}

// Iterator implements store.Store.
func (s *Store) Iterator(b store.Bounds, snap store.Snapshot) store.Iterator {
	entries := s.at(snap).entries
	lo, hi := within(entries, b)
	s.open.Add(1)
	return &iterator{store: s, entries: entries[lo:hi], at: -1}
}

type iterator struct {
	store      *Store
	entries    []entry
	at         int
	key, value []byte
	closed     bool
}

// move hands out fresh copies and spoils the old ones, as an iterator whose
// blocks are reused does.
func (it *iterator) move(at int) bool {
	if it.closed {
		panic("memstore: closed iterator moved")
	}
	for i := range it.key {
		it.key[i] = 0xdb
	}
	for i := range it.value {
		it.value[i] = 0xdb
	}
	it.at = min(max(at, -1), len(it.entries))
	if it.store.failure() != nil || it.at < 0 || it.at == len(it.entries) {
		it.key, it.value = nil, nil
		return false
	}
	e := it.entries[it.at]
	it.key, it.value = bytes.Clone(e.key), bytes.Clone(e.value)
	return true
}

func (it *iterator) First() bool { return it.move(0) }
func (it *iterator) Last() bool  { return it.move(len(it.entries) - 1) }
func (it *iterator) Next() bool  { return it.move(it.at + 1) }
func (it *iterator) Prev() bool  { return it.move(it.at - 1) }

func (it *iterator) Seek(key []byte) bool {
	at, _ := (&state{it.entries}).find(key)
	return it.move(at)
}

func (it *iterator) Key() []byte   { return it.key }
func (it *iterator) Value() []byte { return it.value }
func (it *iterator) Err() error    { return it.store.failure() }

func (it *iterator) Close() {
	if it.closed {
		panic("memstore: iterator closed twice")
	}
	it.closed = true
	it.store.open.Add(-1)
}

var _ store.Store = (*Store)(nil)
