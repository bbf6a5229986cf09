// Package memtable keeps recent writes in order: a skiplist of internal keys
// in an arena, which is heap memory or a mapping that many processes share.
// Links are offsets, so the arena may be mapped anywhere. The package knows no
// files and no locks: the caller brings the arena, and sees to it that one
// inserter, of all processes, is at work at a time. Readers need no lock.
//
// Invariants:
//
//  1. Entries are never changed, moved or removed.
//  2. Every level is ordered, and each is a subset of the one below.
//  3. Only whole entries are linked.
//
// They hold at every instant, so also after an inserter was killed; the next
// inserter goes on. An arena that was damaged, whatever its bytes, gives errors
// or wrong entries, but no panic, no endless loop, no access out of bounds:
// every offset is checked before it is followed, and steps are counted.
package memtable

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/store"
)

// ErrFull is returned by Insert when the arena has no room for the entry. The
// table is as it was.
var ErrFull = errors.New("memtable: full")

// Table is this process's view of a table in an arena.
//
// Get, Len, Room and iterators may be used by any number of goroutines while
// another, or another process, inserts.
type Table struct {
	// Constant.
	arena []byte
	room  uint32 // how many bytes behind the header a node can begin at
	nodes int    // how many nodes could be in the arena at most
	log   format.FileNum

	// Guarded by the caller's lock, as Insert is.
	random uint64
	// path holds, of the entry that this process inserted as its last, what
	// came before it in each level, or itself where it is in the level. Since
	// nothing is ever removed it stays true that all these come before any
	// greater key, whatever other processes insert.
	path [maxHeight]uint32
	// step is called between the steps of Insert, by tests.
	step func()
}

// Need returns the most that an entry can take of an arena.
func Need(keyLen, valueLen int) int64 {
	return roundUp(minNode+4*(maxHeight-1)) + roundUp(int64(keyLen)+int64(valueLen))
}

// Size returns the size of an arena that surely holds so many entries, with
// keys and values of so many bytes together.
func Size(entries int, keyBytes, valueBytes int64) int64 {
	return HeaderLen + int64(entries)*Need(0, 0) + int64(entries)*3 + roundUp(keyBytes+valueBytes)
}

func roundUp(n int64) int64 { return (n + 3) &^ 3 }

// Format makes an empty table in the arena, whatever is in it. Nobody else may
// use it yet.
func Format(arena []byte, log format.FileNum) (*Table, error) {
	if len(arena) < HeaderLen || int64(len(arena)) > MaxSize || !aligned(arena) {
		return nil, fmt.Errorf("memtable: arena of %d bytes: %w", len(arena), store.ErrInvalid)
	}
	store64(arena, offMagic, 0)
	clear(arena[8:HeaderLen])
	store32(arena, offVersion, layoutVersion)
	store32(arena, offSize, uint32(len(arena)))
	store64(arena, offLog, uint64(log))
	store64(arena, offTail, packTail(0, HeaderLen))
	store32(arena, offHeight, 1)
	store64(arena, offMagic, magic)
	return newTable(arena, log), nil
}

// Attach returns the table that another Format, perhaps in another process,
// made in the arena. If there is none, or one of another log, it returns
// store.ErrCorrupted. It does not look at the entries: see Check.
//
// The arena may be a read-only mapping if Insert is not used.
func Attach(arena []byte, log format.FileNum) (*Table, error) {
	bad := func(offset int64, what string, got, want uint64) (*Table, error) {
		return nil, corrupt(log, offset, fmt.Sprintf("memtable: %s %d, want %d", what, got, want))
	}
	if len(arena) < HeaderLen || int64(len(arena)) > MaxSize || !aligned(arena) {
		return nil, corrupt(log, 0, fmt.Sprintf("memtable: arena of %d bytes", len(arena)))
	}
	if got := load64(arena, offMagic); got != magic {
		return bad(offMagic, "magic", got, magic)
	}
	if got := load32(arena, offVersion); got != layoutVersion {
		return bad(offVersion, "layout version", uint64(got), layoutVersion)
	}
	if got := load32(arena, offSize); int(got) != len(arena) {
		return bad(offSize, "size", uint64(got), uint64(len(arena)))
	}
	if got := load64(arena, offLog); got != uint64(log) {
		return bad(offLog, "log", got, uint64(log))
	}
	if _, end := unpackTail(load64(arena, offTail)); end < HeaderLen || int(end) > len(arena) {
		return bad(offTail, "end", uint64(end), uint64(len(arena)))
	}
	return newTable(arena, log), nil
}

func newTable(arena []byte, log format.FileNum) *Table {
	t := &Table{
		arena:  arena[:len(arena):len(arena)],
		nodes:  (len(arena) - HeaderLen) / minNode,
		log:    log,
		random: rand.Uint64() | 1,
	}
	if len(arena) >= HeaderLen+minNode {
		t.room = uint32(len(arena) - HeaderLen - minNode + 1)
	}
	for i := range t.path {
		t.path[i] = head
	}
	return t
}

// corrupt says what is wrong at an offset of the arena.
func corrupt(log format.FileNum, offset int64, reason string) error {
	return &format.Corruption{File: format.MemName(log), Offset: offset, Reason: reason}
}

func (t *Table) errOffset(n uint32) error {
	return corrupt(t.log, int64(n), "memtable: no entry can be here")
}

func (t *Table) errCycle(n uint32) error {
	return corrupt(t.log, int64(n), "memtable: a level does not end")
}

// Log returns the number of the log that the table belongs to.
func (t *Table) Log() format.FileNum { return t.log }

// Len returns the number of entries.
func (t *Table) Len() int {
	count, _ := unpackTail(load64(t.arena, offTail))
	return int(count)
}

// Room returns how many bytes of the arena are free. What Need gives for each
// of some entries has to fit, all together; what is there already takes nothing
// when it is inserted again.
func (t *Table) Room() int64 {
	_, end := unpackTail(load64(t.arena, offTail))
	if end&linking != 0 {
		// The node may be linked: its end is on the safe side.
		n := end &^ linking
		if !t.within(n) {
			return 0
		}
		return max(0, int64(len(t.arena))-t.nodeEnd(n))
	}
	return max(0, int64(len(t.arena))-int64(end))
}

// within reports whether a node can be at n: whether its fixed part, the words
// before and the trailer are in the arena. Nothing else keeps accesses to them
// within bounds.
func (t *Table) within(n uint32) bool {
	return n-HeaderLen < t.room && n&3 == 0
}

// keyEnd returns the end of the internal key of n, unless it is beyond that of
// the arena. REQUIRES: within(n).
func (t *Table) keyEnd(n uint32) (end uint32, ok bool) {
	l := keyLen(t.arena, n)
	return n + minNode + l, l < t.room-(n-HeaderLen)
}

// nodeEnd returns the first byte behind n that may be another's.
// REQUIRES: within(n).
func (t *Table) nodeEnd(n uint32) int64 {
	return roundUp(int64(n) + minNode + int64(keyLen(t.arena, n)) + int64(valueLen(t.arena, n)))
}

// height returns the level that a search begins below.
func (t *Table) height() int {
	return int(min(max(load32(t.arena, offHeight), 1), maxHeight))
}

// word returns the 8 bytes of a user key from i on, filled up with zeros, as a
// number. Of keys that are the same up to i, different words are in the order
// of the keys; the same words leave it open.
func word(user []byte, i int) uint64 {
	if i+8 <= len(user) {
		return binary.BigEndian.Uint64(user[i:])
	}
	var w uint64
	for j, c := range user[i:] {
		w |= uint64(c) << (56 - 8*j)
	}
	return w
}

// search finds the first entry at or behind user and trailer, 0 if there is
// none, and in path what comes before it in each level.
//
// The entries between two that begin as the user key does begin so too. So of
// what the two at the sides have in common with it, in words of 8 bytes, each
// comparison skips the lesser, and mostly needs only the word behind. Keys in a
// database often have much in common.
func (t *Table) search(user []byte, trailer uint64, path *[maxHeight]uint32) (n uint32, err error) {
	a := t.arena
	for level := range path {
		path[level] = head
	}
	at, behind := uint32(head), uint32(0)
	atSame, behindSame, skip := uint32(0), uint32(0), uint32(0)
	want := word(user, 0)
	steps := t.nodes
	for level := t.height() - 1; level >= 0; level-- {
		for {
			next := load32(a, nextOf(at, level))
			if next == behind {
				break // what was behind in the level above
			}
			if !t.within(next) {
				if next == 0 {
					break
				}
				return 0, t.errOffset(next)
			}
			l := keyLen(a, next)
			if l < skip || l >= t.room-(next-HeaderLen) {
				return 0, t.errOffset(next)
			}
			have := binary.BigEndian.Uint64(a[next+nodeKey+skip:])
			if l-skip < 8 {
				have &= ^uint64(0) << (64 - 8*(l-skip)) // what follows is the trailer
			}
			before, same := have < want, skip
			if have == want {
				before, same = t.before(next, l, user, trailer, skip)
			}
			if before {
				at, atSame = next, same
				if steps--; steps < 0 {
					return 0, t.errCycle(next)
				}
			} else {
				behind, behindSame = next, same
			}
			if same = min(atSame, behindSame); same != skip {
				skip = same
				want = word(user, int(skip))
			}
			if !before {
				break
			}
		}
		path[level] = at
	}
	return behind, nil
}

// before reports whether the entry at n, whose user key is l long and begins as
// user up to skip, comes before user and trailer, and up to where the keys are
// the same, in whole words. REQUIRES: n and l were checked.
func (t *Table) before(n, l uint32, user []byte, trailer uint64, skip uint32) (before bool, same uint32) {
	key := t.arena[n+nodeKey : n+minNode+l]
	have := key[:l]
	i := int(skip)
	for i+8 <= len(have) && i+8 <= len(user) {
		x, y := binary.BigEndian.Uint64(have[i:]), binary.BigEndian.Uint64(user[i:])
		if x != y {
			return x < y, uint32(i)
		}
		i += 8
	}
	if c := bytes.Compare(have[i:], user[i:]); c != 0 {
		return c < 0, uint32(i)
	}
	return format.KeyTrailer(key) > trailer, uint32(i)
}

// compare orders the entry at n and an internal key. REQUIRES: within(n).
func (t *Table) compare(n uint32, user []byte, trailer uint64) (int, error) {
	end, ok := t.keyEnd(n)
	if !ok {
		return 0, t.errOffset(n)
	}
	key := t.arena[n+nodeKey : end]
	if c := bytes.Compare(key[:len(key)-format.TrailerLen], user); c != 0 {
		return c, nil
	}
	return cmp.Compare(trailer, format.KeyTrailer(key)), nil
}

// Get returns the newest entry of a key that is not newer than seq: its value,
// which is part of the arena, and its trailer, which tells whether it is a
// deletion.
func (t *Table) Get(user []byte, seq format.SeqNum) (value []byte, trailer uint64, ok bool, err error) {
	var path [maxHeight]uint32
	n, err := t.search(user, format.Trailer(min(seq, format.MaxSeqNum), format.KindPut), &path)
	if n == 0 || err != nil {
		return nil, 0, false, err
	}
	if int(keyLen(t.arena, n)) != len(user) {
		return nil, 0, false, nil
	}
	e, err := t.entry(n)
	if err != nil || !bytes.Equal(t.arena[n+nodeKey:e.val-format.TrailerLen], user) {
		return nil, 0, false, err
	}
	return t.arena[e.val:e.end:e.end], binary.LittleEndian.Uint64(t.arena[e.val-format.TrailerLen:]), true, nil
}

// span is where an entry is: its key from n+nodeKey to val, its value from
// there to end.
type span struct{ val, end uint32 }

// entry finds the bounds of the entry at n, once, so that no later change of
// the lengths can lead out of them.
func (t *Table) entry(n uint32) (span, error) {
	if !t.within(n) {
		return span{}, t.errOffset(n)
	}
	val, ok := t.keyEnd(n)
	if !ok {
		return span{}, t.errOffset(n)
	}
	l := valueLen(t.arena, n)
	if l > uint32(len(t.arena))-val {
		return span{}, t.errOffset(n)
	}
	return span{val, val + l}, nil
}

// randomHeight gives each level a quarter of the one below.
func (t *Table) randomHeight() int {
	t.random ^= t.random << 13
	t.random ^= t.random >> 7
	t.random ^= t.random << 17
	return min(1+bits.TrailingZeros64(t.random)/2, maxHeight)
}
