// Package store is the seam between those who reach the data and those who
// have it: the interface a socket host serves, and the errors both sides
// share. It holds no behaviour of its own beyond key bounds.
package store

import "context"

// Store is one open database, as a socket host sees it. Its methods may be
// called by any number of goroutines at once. Slices passed in are not kept
// after the call returns; slices handed out belong to the caller.
type Store interface {
	// Get returns the value of key as of snap, or as of now if snap is nil.
	// A missing key is ErrNotFound; an empty value is not nil.
	Get(key []byte, snap Snapshot) ([]byte, error)

	// Has reports whether key exists as of snap, or as of now.
	Has(key []byte, snap Snapshot) (bool, error)

	// Snapshot pins the present state. It must be released.
	Snapshot() (Snapshot, error)

	// Iterator walks the keys within b as of snap, or as of the moment of the
	// call if snap is nil. It must be closed.
	Iterator(b Bounds, snap Snapshot) Iterator

	// Commit applies writes in the order given, each atomically, and returns
	// when all are decided. The outcome of each is in its Err.
	Commit(ctx context.Context, writes []*Write)

	// Clear deletes at most one chunk of the keys within c.Bounds, in one
	// atomic write, and reports how many it deleted and whether keys may be
	// left. Callers repeat it until more is false.
	Clear(ctx context.Context, c Clear) (n int64, more bool, err error)
}

// Snapshot is a pinned state of a Store.
type Snapshot interface {
	Release()
}

// Iterator walks keys in order, LevelDB fashion: it stands on an entry after
// a method that returned true. Key and Value are valid until it is moved. Not
// safe for concurrent use.
type Iterator interface {
	First() bool
	Last() bool
	// Seek goes to the first key at or after key.
	Seek(key []byte) bool
	Next() bool
	Prev() bool
	Key() []byte
	Value() []byte
	Err() error
	Close()
}

// Identity names one write of one client so that a second copy of it is known.
// The zero Identity names nothing.
type Identity struct {
	// Client is random and unique to a handle.
	Client ClientID
	// ID counts the client's requests from 1 and is never used again.
	ID uint64
	// Floor is the lowest ID the client may still send again. Records below it
	// can be forgotten.
	Floor uint64
}

// ClientID tells the handles of all processes apart.
type ClientID [16]byte

// Write is one atomic group of puts and deletes.
type Write struct {
	// Records holds Count records in LevelDB's batch form, without the batch
	// header. They have been validated.
	Records []byte
	Count   int
	// Sync asks that the write be durable before it is acknowledged.
	Sync bool
	Identity
	// Err is the outcome, set by Commit.
	Err error
}

// Clear describes one step of a range delete.
type Clear struct {
	Bounds  Bounds
	Reverse bool
	// Limit is the most keys to delete; negative means all.
	Limit int64
	Sync  bool
	Identity
}
