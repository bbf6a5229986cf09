package memtable

import (
	"encoding/binary"

	"github.com/levelparty/party/internal/format"
)

// An arena begins with a header, two cache lines long. Words are in the byte
// order of the machine and aligned; offsets count from the start of the arena.
//
//	offset size
//	0      8    magic
//	8      4    layout version
//	12     4    size of the arena
//	16     8    number of the log whose writes it holds
//	24     8    tail: entries << 32 | end
//	32     32   zero
//	64     4    first entry of level 11
//	...
//	108    4    first entry of level 0
//	112    4    zero, as long as a node has its prev here
//	116    4    height: levels in use
//	120    8    zero
//	128         nodes
//
// Who changes what, who reads it, and what a crash leaves:
//
//   - magic to log: Format, before anybody else knows the arena, magic as the
//     last. Without the magic the arena is none; it is then made again.
//   - tail: Insert, under the caller's lock. Only inserters act on it; Len and
//     Room read it without. It goes up in one store with the count, so the two
//     always fit. If bit 0 of end is set, an inserter was at work: see Insert.
//   - first entries, which are the next words of a head node that has no key:
//     Insert, under the lock. Everybody reads them without, always.
//   - height: Insert, under the lock, before it links the first node of a
//     level; everybody reads it without. It only tells where a search begins.
//     After a crash a level may be empty; a reader that read it a moment ago
//     begins too low. Both cost steps, not entries.
//
// The tail is on the first line, which readers look at once; what they look
// at all the time is on the second, which seldom changes.
//
// A node is an entry and its place in the levels 0 to h-1. Its offset, n, is a
// multiple of 4 and stands in the middle, so that what a search looks at is
// together, whatever h is:
//
//		n-4(h-1) 4  next in level h-1
//		...
//		n-4      4  next in level 1
//		n        4  next in level 0
//		n+4      4  prev: an entry before it, as near as one was known; the head's n if none
//		n+8      4  length of the user key | h << 28
//		n+12     4  length of the value
//		n+16        internal key: user key, trailer
//		...         value
//		            0 to 3 bytes up to the next multiple of 4
//
//	  - lengths, key and value: written once, before the node is linked. A
//	    reader that got n from a next word, by an atomic load, sees all of them.
//	  - next: Insert, under the lock. 0 is the end of the level. A crash leaves
//	    a node linked in some levels from below; above, its words mean nothing.
//	  - prev: Insert, under the lock. A crash, or a moment, leaves one that is
//	    too far before: the way from there in level 0 leads to the node.
//
// Part of the layout: who changes anything here counts up layoutVersion.

const (
	magic         = 0x656c626174797470 // "ptytable" on a little endian machine
	layoutVersion = 1

	offMagic   = 0
	offVersion = 8
	offSize    = 12
	offLog     = 16
	offTail    = 24
	offHeight  = 116

	// HeaderLen is what an empty table takes of its arena.
	HeaderLen = 128

	maxHeight = 12
	head      = 108 // the head node

	nodePrev   = 4
	nodeKeyLen = 8
	nodeValLen = 12
	nodeKey    = 16
	minNode    = nodeKey + format.TrailerLen // from n on

	heightShift = 28
	maxKeyLen   = 1<<heightShift - 1

	// linking is the bit in the end that says: not the end, but the offset of
	// a whole node that was perhaps linked.
	linking = 1
)

// MaxSize is the largest arena: offsets have 32 bits.
const MaxSize = 1<<32 - 8

// What searches read together is together.
var (
	_ [head - 4*(maxHeight-1) - 64]struct{} // the head begins the second line
	_ [offHeight - head - nodeKeyLen]struct{}
	_ [HeaderLen - offHeight - 4]struct{}
	_ [maxHeight - 1<<(32-heightShift) + 4]struct{} // h fits
)

// keyLen returns the length of the user key of node n.
// REQUIRES, of these three: n was checked.
func keyLen(a []byte, n uint32) uint32 {
	return binary.NativeEndian.Uint32(a[n+nodeKeyLen:]) & maxKeyLen
}

func nodeHeight(a []byte, n uint32) int {
	return int(binary.NativeEndian.Uint32(a[n+nodeKeyLen:]) >> heightShift)
}

func valueLen(a []byte, n uint32) uint32 {
	return binary.NativeEndian.Uint32(a[n+nodeValLen:])
}

// nextOf returns the word that holds what follows n in a level.
func nextOf(n uint32, level int) uint32 { return n - 4*uint32(level) }

func packTail(count, end uint32) uint64 { return uint64(count)<<32 | uint64(end) }

func unpackTail(tail uint64) (count, end uint32) { return uint32(tail >> 32), uint32(tail) }
