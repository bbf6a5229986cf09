package goleveldb

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/levelparty/party"
)

// state is one state of the database, for a Snapshot or Transaction and its
// iterators. Any of them may be the last to need it: in goleveldb an iterator
// outlives what it was made from.
type state struct {
	snap *party.Snapshot
	refs atomic.Int32
}

// state pins the present state of the database. It must be released.
func (db *DB) state() (*state, error) {
	snap, err := db.party.Snapshot(db.ctx)
	if err != nil {
		return nil, err
	}
	s := &state{snap: snap}
	s.refs.Store(1)
	return s, nil
}

// retain returns s for one more user, who must release it. REQUIRES: the caller
// is one.
func (s *state) retain() *state {
	s.refs.Add(1)
	return s
}

func (s *state) release() {
	if s.refs.Add(-1) == 0 {
		s.snap.Close() // has nothing to tell
	}
}

// Snapshot is one state of the database, which later writes do not change. It
// must be released. The leader holds it: when that leader is gone, reading from
// the Snapshot is party.ErrSnapshotLost. Safe for concurrent use.
type Snapshot struct {
	db     *DB
	number uint64

	mu    sync.RWMutex
	state *state // nil when released, guarded by mu
}

// GetSnapshot returns the present state of the database.
func (db *DB) GetSnapshot() (*Snapshot, error) {
	if err := db.ok(); err != nil {
		return nil, err
	}
	s, err := db.state()
	if err != nil {
		return nil, db.failure(err)
	}
	snap := &Snapshot{db: db, number: db.snapshots.Add(1), state: s}
	runtime.SetFinalizer(snap, (*Snapshot).Release) // as goleveldb does
	return snap, nil
}

// String returns a name for the snapshot. Other than goleveldb's it does not
// tell the sequence number, which only the leader knows.
func (snap *Snapshot) String() string { return fmt.Sprintf("goleveldb.Snapshot{%d}", snap.number) }

// use returns with mu held shared, unless it fails.
func (snap *Snapshot) use() (*state, error) {
	snap.mu.RLock()
	err := error(ErrSnapshotReleased)
	if snap.state != nil {
		if err = snap.db.ok(); err == nil {
			return snap.state, nil
		}
	}
	snap.mu.RUnlock()
	return nil, err
}

// Get returns the value that key had. A missing key is ErrNotFound.
func (snap *Snapshot) Get(key []byte, ro *opt.ReadOptions) (value []byte, err error) {
	s, err := snap.use()
	if err != nil {
		return nil, err
	}
	defer snap.mu.RUnlock()
	value, err = s.snap.Get(snap.db.ctx, key)
	return value, snap.db.failure(err)
}

// Has reports whether key existed.
func (snap *Snapshot) Has(key []byte, ro *opt.ReadOptions) (ret bool, err error) {
	s, err := snap.use()
	if err != nil {
		return false, err
	}
	defer snap.mu.RUnlock()
	ret, err = s.snap.Has(snap.db.ctx, key)
	return ret, snap.db.failure(err)
}

// NewIterator returns an iterator over the snapshot, within slice if that is
// not nil. It must be released, and can be used after the snapshot's release.
func (snap *Snapshot) NewIterator(slice *util.Range, ro *opt.ReadOptions) iterator.Iterator {
	s, err := snap.use()
	if err != nil {
		return iterator.NewEmptyIterator(err)
	}
	defer snap.mu.RUnlock()
	o := party.IteratorOptions{Range: rangeOf(slice)}
	return snap.db.newIterator(s.snap.Iterator(snap.db.ctx, o), s.retain())
}

// Release gives the snapshot up. It may be called more than once. Iterators of
// it can still be used.
func (snap *Snapshot) Release() {
	snap.mu.Lock()
	defer snap.mu.Unlock()
	if snap.state != nil {
		runtime.SetFinalizer(snap, nil)
		snap.state.release()
		snap.state = nil
	}
}
