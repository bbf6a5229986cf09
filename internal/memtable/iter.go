package memtable

import (
	"github.com/levelparty/party/internal/format"
)

// Iter walks the entries of a table, of all sequence numbers, in the order of
// internal keys. It needs no closing. Entries inserted meanwhile are met if
// they lie ahead. An Iter can be a field of a struct: Reset makes it one of a
// table. Not safe for concurrent use.
type Iter struct {
	t *Table
	n uint32 // where it stands, 0 if on nothing
	span
	// moved counts Next up and Prev down since the last jump: a walk of more
	// entries than the arena could hold is in a cycle.
	moved int
	err   error
}

// NewIter returns an iterator that stands on nothing.
func (t *Table) NewIter() *Iter { return &Iter{t: t} }

// Reset makes it a new iterator of t.
func (it *Iter) Reset(t *Table) { *it = Iter{t: t} }

// Valid reports whether it stands on an entry.
func (it *Iter) Valid() bool { return it.n != 0 }

// Key returns the internal key, a part of the arena. REQUIRES: Valid, as Value.
func (it *Iter) Key() []byte { return it.t.arena[it.n+nodeKey : it.val : it.val] }

// Value returns the value, a part of the arena.
func (it *Iter) Value() []byte { return it.t.arena[it.val:it.end:it.end] }

// Err returns what ended the walk, if it was not the end of the table.
func (it *Iter) Err() error { return it.err }

// First goes to the first entry. Like all moves it reports Valid.
func (it *Iter) First() bool {
	it.moved, it.err = 0, nil
	return it.goTo(load32(it.t.arena, head))
}

// Last goes to the last entry.
func (it *Iter) Last() bool {
	it.moved, it.err = 0, nil
	t, at := it.t, uint32(head)
	steps := t.nodes
	for level := t.height() - 1; level >= 0; level-- {
		for {
			next := load32(t.arena, nextOf(at, level))
			if next == 0 {
				break
			}
			if !t.within(next) {
				return it.fail(t.errOffset(next))
			}
			if steps--; steps < 0 {
				return it.fail(t.errCycle(next))
			}
			at = next
		}
	}
	if at == head {
		return it.goTo(0)
	}
	return it.goTo(at)
}

// SeekGE goes to the first entry at or behind an internal key.
// REQUIRES: len(ikey) >= format.TrailerLen.
func (it *Iter) SeekGE(ikey []byte) bool {
	it.moved, it.err = 0, nil
	var path [maxHeight]uint32
	n, err := it.t.search(format.UserKey(ikey), format.KeyTrailer(ikey), &path)
	if err != nil {
		return it.fail(err)
	}
	return it.goTo(n)
}

// Next goes to the entry behind. REQUIRES: Valid, as Prev.
func (it *Iter) Next() bool {
	if it.moved++; it.moved > it.t.nodes {
		return it.fail(it.t.errCycle(it.n))
	}
	return it.goTo(load32(it.t.arena, it.n))
}

// Prev goes to the entry before.
func (it *Iter) Prev() bool {
	if it.moved--; it.moved < -it.t.nodes {
		return it.fail(it.t.errCycle(it.n))
	}
	t := it.t
	// From prev it is one step to n, or some if entries have come between.
	at := load32(t.arena, it.n+nodePrev)
	for range 32 {
		if at != head && !t.within(at) {
			return it.fail(t.errOffset(at))
		}
		next := load32(t.arena, at)
		if next == it.n {
			if at == head {
				at = 0
			}
			return it.goTo(at)
		}
		if next == 0 {
			return it.fail(t.errOffset(it.n)) // it is not in level 0
		}
		at = next
	}
	var path [maxHeight]uint32
	key := it.Key()
	if _, err := t.search(format.UserKey(key), format.KeyTrailer(key), &path); err != nil {
		return it.fail(err)
	}
	if path[0] == head {
		path[0] = 0
	}
	return it.goTo(path[0])
}

// goTo stands on n, if there is an entry, or on nothing, if n is 0.
func (it *Iter) goTo(n uint32) bool {
	it.n = n
	if n == 0 {
		return false
	}
	var err error
	if it.span, err = it.t.entry(n); err != nil {
		return it.fail(err)
	}
	return true
}

func (it *Iter) fail(err error) bool {
	it.n, it.err = 0, err
	return false
}
