package party

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/levelparty/party/internal/leader"
	"github.com/levelparty/party/internal/lsm"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/wire"
)

// Iterator visits entries in the order of their keys, or in reverse if it was
// made so: First, Next and Seek speak of that order. A new Iterator stands
// before the first entry, so that
//
//	for it.Next() {
//		... it.Key(), it.Value() ...
//	}
//	err := errors.Join(it.Err(), it.Close())
//
// visits all. It reads one state of the database, that of its first move (while
// a Node process leads, moves other than Next can begin a new one); when the
// leader is lost it goes on behind the last entry it returned, on the next
// leader's state, unless it belongs to a Snapshot, was made with
// IteratorOptions.OneState, or the handle was opened with Options.NoRetry. Not
// safe for concurrent use.
type Iterator struct {
	db     *DB
	ctx    context.Context
	o      IteratorOptions
	bounds store.Bounds
	prefix []byte // not shown
	snap   *Snapshot
	left   int // entries still to be yielded, negative for no limit
	stands standing
	key    []byte // of the entry it stands on or, if lost, stood on
	value  []byte
	err    error
	closed bool
	keep   []byte // memory for key, when it outlives its source
	steps  uint   // that Next has made in the short way
	source source
}

// checkSteps is after how many entries an iterator looks whether its context, or
// its handle, has ended.
const checkSteps = 64

// standing is where an iterator is with respect to the entries.
type standing uint8

const (
	before standing = iota
	on
	behind
)

// source is what an iterator reads from, until its leader is gone.
type source struct {
	// Either: the database itself.
	local  *lsm.Iterator
	leader *leader.Leader
	// Or: a link, a chunk at a time.
	cursor  wire.Cursor
	link    *wire.Link
	entries [][]byte // of the chunk: keys and values
	at      int      // the entry in entries
	reverse bool     // the direction of the chunk
	end     bool     // nothing is behind the chunk
}

// Iterator visits the entries that o selects. It must be closed. Errors show in
// Err after the first move.
func (db *DB) Iterator(ctx context.Context, o IteratorOptions) *Iterator {
	return db.newIterator(ctx, o, nil, nil)
}

// newIterator makes an iterator whose bounds are full keys, and which leaves
// prefix away from what it shows and takes.
func (db *DB) newIterator(ctx context.Context, o IteratorOptions, snap *Snapshot, prefix []byte) *Iterator {
	it := &Iterator{db: db, ctx: ctx, o: o, bounds: o.bounds(), snap: snap, prefix: prefix, left: -1}
	if o.Limit > 0 {
		it.left = o.Limit
	}
	return it
}

// First goes to the first entry. It reports whether there is one.
func (it *Iterator) First() bool {
	return it.move(wire.Position{Kind: wire.Start, Reverse: it.o.Reverse}, behind)
}

// Last goes to the last entry.
func (it *Iterator) Last() bool {
	return it.move(wire.Position{Kind: wire.Start, Reverse: !it.o.Reverse}, before)
}

// Seek goes to the first entry at or behind key: its key is >= key or, in
// reverse, <= key.
func (it *Iterator) Seek(key []byte) bool {
	full := append(append(make([]byte, 0, len(it.prefix)+len(key)+1), it.prefix...), key...)
	if it.o.Reverse {
		full = append(full, 0) // From is exclusive in reverse
	}
	return it.move(wire.Position{Kind: wire.From, Key: full, Reverse: it.o.Reverse}, behind)
}

// Next goes to the next entry: the first, if the iterator is new.
func (it *Iterator) Next() bool {
	// The usual case without its detours. Whether it should end is looked at from
	// time to time.
	if l := it.source.local; l != nil && it.stands == on && it.left < 0 && !it.o.Reverse && it.steps%checkSteps != 0 {
		it.steps++
		if l.Next() {
			it.key, it.value = l.Key(), l.Value()
			return true
		}
		if l.Err() == nil {
			it.stands = behind
			return false
		}
	}
	it.steps = 1
	switch it.stands {
	case before:
		return it.First()
	case behind:
		return false
	}
	return it.move(wire.Position{Kind: wire.Continue, Reverse: it.o.Reverse}, behind)
}

// Prev goes to the entry before: the last, if the iterator is behind it.
func (it *Iterator) Prev() bool {
	switch it.stands {
	case before:
		return false
	case behind:
		return it.Last()
	}
	return it.move(wire.Position{Kind: wire.Continue, Reverse: !it.o.Reverse}, before)
}

// Key returns the key of the entry, nil if there is none or with
// IteratorOptions.NoKeys. It is valid until the next move, and not to be
// changed.
func (it *Iterator) Key() []byte {
	if it.stands != on || it.o.NoKeys {
		return nil
	}
	return it.key[len(it.prefix):]
}

// Value returns the value of the entry, as Key does its key.
func (it *Iterator) Value() []byte {
	if it.stands != on || it.o.NoValues {
		return nil
	}
	return it.value
}

// Err returns why the iterator ended before its time; nil if it did not.
func (it *Iterator) Err() error { return opError("iterator", it.err) }

// Close frees what the iterator holds. It may be called more than once.
func (it *Iterator) Close() error {
	it.closed, it.stands = true, behind
	it.drop()
	return nil
}

// drop gives the source up.
func (it *Iterator) drop() {
	if it.source.local != nil {
		it.source.local.Close()
	}
	if it.source.cursor != nil {
		it.source.cursor.Close()
	}
	it.source = source{}
}

// move goes to pos, over as many leaders as it takes. off is where the iterator
// stands if there is no entry.
func (it *Iterator) move(pos wire.Position, off standing) bool {
	if it.err != nil {
		return false
	}
	if it.closed {
		it.err = ErrClosed
		return false
	}
	if err := it.ctx.Err(); err != nil {
		return it.fail(err)
	}
	if it.db.ctx.Err() != nil {
		return it.fail(ErrClosed)
	}
	if it.left == 0 {
		it.stands = off
		return false
	}
	for {
		fresh, err := it.open()
		if err != nil {
			return it.fail(err)
		}
		if fresh && pos.Kind == wire.Continue {
			pos = it.behindKey(pos.Reverse)
		}
		var ok bool
		if it.source.local != nil {
			ok, err = it.moveLocal(pos)
		} else {
			ok, err = it.moveRemote(pos)
		}
		if err == nil {
			if !ok {
				it.stands = off
				return false
			}
			it.stands = on
			if it.left > 0 {
				it.left--
			}
			return true
		}
		if !it.goOn(err) {
			return it.fail(err)
		}
		if pos.Kind == wire.Continue {
			pos = it.behindKey(pos.Reverse)
		}
	}
}

// behindKey is where Continue continues, told by the key.
func (it *Iterator) behindKey(reverse bool) wire.Position {
	pos := wire.Position{Kind: wire.From, Reverse: reverse}
	if reverse {
		pos.Key = bytes.Clone(it.key)
	} else {
		pos.Key = store.After(it.key)
	}
	return pos
}

func (it *Iterator) fail(err error) bool {
	switch {
	case it.snap != nil:
		err = it.snap.lost(err)
	case errors.Is(err, store.ErrClosed) && !it.closed && it.db.ctx.Err() == nil:
		err = ErrConnectionLost // this handle led, and has handed over
	}
	it.err = err
	it.stands = behind
	it.drop()
	return false
}

// goOn reports whether the iterator goes on with the next leader after err, and
// waits until the handle has noticed that there must be one.
func (it *Iterator) goOn(err error) bool {
	lost := errors.Is(err, ErrConnectionLost) || errors.Is(err, store.ErrClosed)
	if !lost || it.snap != nil || it.db.o.NoRetry || it.o.OneState {
		return false
	}
	// The key may be part of what is given up now.
	it.keep = append(it.keep[:0], it.key...)
	it.key = it.keep
	was := it.source
	it.drop()
	if was.link != nil {
		<-was.link.Down()
		return it.db.unlinked(it.ctx, was.link) == nil
	}
	return it.db.leaves(it.ctx, was.leader) == nil
}

// open makes a source if there is none. It reports whether it did.
func (it *Iterator) open() (fresh bool, err error) {
	if it.source.local != nil || it.source.cursor != nil {
		return false, nil
	}
	if it.snap != nil {
		if it.snap.closed() {
			return false, ErrClosed
		}
		if it.snap.leader != nil {
			it.openLocal(it.snap.leader, it.snap.state)
		} else {
			it.openRemote(it.snap.link, it.snap.handle)
		}
		return true, nil
	}
	local, link, err := it.db.way(it.ctx)
	if err != nil {
		return false, err
	}
	if local != nil {
		it.openLocal(local, nil)
	} else {
		it.openRemote(link, 0)
	}
	return true, nil
}

func (it *Iterator) openLocal(l *leader.Leader, snap store.Snapshot) {
	it.source = source{leader: l, local: l.Iterator(it.bounds, snap).(*lsm.Iterator)}
}

func (it *Iterator) openRemote(link *wire.Link, handle uint64) {
	o := wire.CursorOptions{
		Bounds:      it.bounds,
		Limit:       -1,
		NoValues:    it.o.NoValues,
		Snapshot:    handle,
		OneSnapshot: it.db.o.NoRetry || it.o.OneState,
	}
	if link.Proto() == wire.Party {
		// A hint there. The npm protocols count what was sent, not what was
		// visited.
		o.Limit = int64(it.left)
	}
	it.source = source{link: link, cursor: link.Cursor(o), end: true}
}

func (it *Iterator) moveLocal(pos wire.Position) (ok bool, err error) {
	l := it.source.local
	switch {
	case pos.Kind == wire.Continue && pos.Reverse:
		ok = l.Prev()
	case pos.Kind == wire.Continue:
		ok = l.Next()
	case pos.Kind == wire.Start && pos.Reverse:
		ok = l.Last()
	case pos.Kind == wire.Start:
		ok = l.First()
	case pos.Reverse:
		if l.Seek(pos.Key) {
			ok = l.Prev()
		} else {
			ok = l.Last()
		}
	default:
		ok = l.Seek(pos.Key)
	}
	if !ok {
		return false, l.Err()
	}
	it.key, it.value = l.Key(), l.Value()
	return true, nil
}

func (it *Iterator) moveRemote(pos wire.Position) (bool, error) {
	s := &it.source
	if pos.Kind == wire.Continue {
		step := 2
		if pos.Reverse != s.reverse {
			step = -2
		}
		if next := s.at + step; next >= 0 && next < len(s.entries) {
			s.at = next
			it.show()
			return true, nil
		}
		if pos.Reverse != s.reverse {
			pos = it.behindKey(pos.Reverse)
		} else if s.end {
			return false, nil
		}
	}
	// The old chunk goes: its last key may be needed again.
	it.keep = append(it.keep[:0], it.key...)
	it.key = it.keep
	chunk, err := s.cursor.Read(it.ctx, pos)
	if err != nil {
		return false, err
	}
	s.entries, s.at, s.reverse, s.end = chunk.Entries, 0, pos.Reverse, chunk.End
	if len(s.entries) == 0 {
		if !chunk.End {
			return false, fmt.Errorf("empty chunk: %w", ErrCorrupted)
		}
		return false, nil
	}
	it.show()
	return true, nil
}

func (it *Iterator) show() {
	it.key, it.value = it.source.entries[it.source.at], it.source.entries[it.source.at+1]
}
