package goleveldb

import (
	"bytes"
	"runtime"

	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/levelparty/party"
)

// cursor is what an iterator walks: a party.Iterator, or one merged with the
// writes of a transaction. A new cursor stands before the first entry.
type cursor interface {
	First() bool
	Last() bool
	Seek(key []byte) bool
	Next() bool
	Prev() bool
	Key() []byte
	Value() []byte
	Err() error
	Close() error
}

// rangeOf returns the entries of slice, all if that is nil. It copies, because
// goleveldb's callers may change what they passed.
func rangeOf(slice *util.Range) party.Range {
	if slice == nil {
		return party.Range{}
	}
	return party.Range{GTE: bytes.Clone(slice.Start), LT: bytes.Clone(slice.Limit)}
}

// dbIterator gives a cursor the ways of a goleveldb iterator. The two agree on
// where they stand: a Next that finds nothing stands behind the last entry, from
// where Prev goes back to it, and the other way round.
type dbIterator struct {
	db       *DB
	cursor   cursor
	state    *state // may be nil; released with the iterator
	valid    bool   // stands on an entry
	released bool
	err      error
	releaser util.Releaser
}

// newIterator returns an iterator that owns c and its hold on s.
func (db *DB) newIterator(c cursor, s *state) *dbIterator {
	it := &dbIterator{db: db, cursor: c, state: s}
	runtime.SetFinalizer(it, (*dbIterator).Release) // as goleveldb does
	return it
}

// usable reports whether the iterator can be moved.
func (it *dbIterator) usable() bool {
	if it.err == nil && it.released {
		it.err = ErrIterReleased
	}
	return it.err == nil
}

func (it *dbIterator) moved(ok bool) bool {
	it.valid = ok
	if !ok {
		it.err = it.db.failure(it.cursor.Err())
	}
	return ok
}

func (it *dbIterator) First() bool          { return it.usable() && it.moved(it.cursor.First()) }
func (it *dbIterator) Last() bool           { return it.usable() && it.moved(it.cursor.Last()) }
func (it *dbIterator) Seek(key []byte) bool { return it.usable() && it.moved(it.cursor.Seek(key)) }
func (it *dbIterator) Next() bool           { return it.usable() && it.moved(it.cursor.Next()) }
func (it *dbIterator) Prev() bool           { return it.usable() && it.moved(it.cursor.Prev()) }
func (it *dbIterator) Valid() bool          { return it.valid }
func (it *dbIterator) Error() error         { return it.err }

func (it *dbIterator) Key() []byte {
	if !it.valid {
		return nil
	}
	return notNil(it.cursor.Key())
}

func (it *dbIterator) Value() []byte {
	if !it.valid {
		return nil
	}
	return notNil(it.cursor.Value())
}

// notNil tells an empty key or value from none: goleveldb's is never nil.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func (it *dbIterator) Release() {
	if it.released {
		return
	}
	runtime.SetFinalizer(it, nil)
	if it.releaser != nil {
		it.releaser.Release()
		it.releaser = nil
	}
	it.released, it.valid = true, false
	it.cursor.Close() // what it has to tell is in Err
	it.cursor = nil
	if it.state != nil {
		it.state.release()
		it.state = nil
	}
}

func (it *dbIterator) SetReleaser(releaser util.Releaser) {
	if it.released {
		panic(util.ErrReleased)
	}
	if it.releaser != nil && releaser != nil {
		panic(util.ErrHasReleaser)
	}
	it.releaser = releaser
}
