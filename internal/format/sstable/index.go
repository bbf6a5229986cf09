package sstable

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/levelparty/party/internal/format"
)

// index is an index block, unpacked once. Entry i is a key not less than all
// keys of data block i and less than those behind it, and the block's handle.
//
// Looking for a block is a good part of what a Get costs. The bytes that all
// keys begin with tell nothing, the eight behind them nearly everything: they
// stand by themselves as numbers, and the search among these takes no
// branch that a processor could guess wrong.
type index struct {
	handles  []handle
	prefixes []uint64 // of all keys but the last
	common   []byte   // what the user keys of these begin with
	keys     []byte   // the internal keys, one behind the other
	ends     []uint32
}

// maxIndexBlowup bounds how much longer than the block the keys in it may be.
// An index block has no shared bytes in LevelDB, others have restart intervals
// of 16. Anything more is made to fill memory.
const maxIndexBlowup = 64

// parseIndex unpacks block. The data blocks are within the first limit bytes
// of the file. What is wrong with it is returned as reason.
func parseIndex(block []byte, limit uint64) (x index, reason string) {
	entries, restarts, ok := splitBlock(block)
	if !ok {
		return x, "bad index block"
	}
	// Every entry should be a restart point.
	x.handles = make([]handle, 0, len(restarts)/4)
	x.ends = make([]uint32, 0, len(restarts)/4)
	x.keys = make([]byte, 0, len(entries))
	var last []byte
	var end uint64 // of the last data block
	for next := 0; next < len(entries); {
		shared, unshared, n, body, ok := decodeEntry(entries, next)
		if !ok || shared > len(last) || shared+unshared < format.TrailerLen {
			return x, "bad entry in the index block"
		}
		start := len(x.keys)
		if uint64(start+shared+unshared) > min(maxIndexBlowup*uint64(len(entries)), math.MaxUint32) {
			return x, "keys of the index block too long"
		}
		next = body + unshared + n
		x.keys = append(x.keys, last[:shared]...)
		x.keys = append(x.keys, entries[body:body+unshared]...)
		if start > 0 && format.CompareInternal(last, x.keys[start:]) >= 0 {
			return x, "keys of the index block do not ascend"
		}
		last = x.keys[start:]
		h, _, ok := decodeHandle(entries[next-n:next], limit)
		if !ok || h.offset < end {
			return x, "bad handle of a data block"
		}
		end = h.offset + h.size + blockTrailerLen
		x.ends = append(x.ends, uint32(len(x.keys)))
		x.handles = append(x.handles, h)
	}
	if x.len() == 0 {
		return x, ""
	}
	// They ascend: what the first and the last share, all share. The very last
	// does not count: with no key behind it, it was made as short as can be.
	n := x.len() - 1
	if n > 0 {
		first := format.UserKey(x.key(0))
		x.common = first[:sharedLen(first, format.UserKey(x.key(n-1)))]
	}
	x.prefixes = make([]uint64, n)
	for i := range x.prefixes {
		x.prefixes[i] = prefix(format.UserKey(x.key(i)), len(x.common))
	}
	return x, ""
}

func (x *index) len() int { return len(x.ends) }

func (x *index) key(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = x.ends[i-1]
	}
	return x.keys[start:x.ends[i]]
}

// find returns the block that the first entry at or behind the key of user
// and trailer is in, or begins. If there is none it is len.
func (x *index) find(user []byte, trailer uint64) int {
	n := len(x.prefixes)
	i := x.findInner(user, trailer)
	if i == n && n < x.len() && compare(x.key(n), user, trailer) < 0 {
		i++
	}
	return i
}

// findInner is find without the last block, which it returns for all that is
// behind the others.
func (x *index) findInner(user []byte, trailer uint64) int {
	if len(user) < len(x.common) || string(user[:len(x.common)]) != string(x.common) {
		if bytes.Compare(user, x.common) < 0 {
			return 0
		}
		return len(x.prefixes)
	}
	p := prefix(user, len(x.common))
	i := countLess(x.prefixes, p)
	end := i
	if i < len(x.prefixes) && x.prefixes[i] == p {
		// Few keys, if not this one alone, have the same eight bytes.
		end = len(x.prefixes)
		if p < math.MaxUint64 {
			end = i + countLess(x.prefixes[i:], p+1)
		}
	}
	for i < end {
		if mid := int(uint(i+end) / 2); compare(x.key(mid), user, trailer) < 0 {
			i = mid + 1
		} else {
			end = mid
		}
	}
	return i
}

// prefix returns the eight bytes of user behind the first skip as a number
// that orders as they do. Where user is shorter zeros follow, so that what
// differs may still be equal here. REQUIRES: skip <= len(user).
func prefix(user []byte, skip int) uint64 {
	n := len(user) - skip
	switch {
	case n >= 8:
		return binary.BigEndian.Uint64(user[skip:])
	case len(user) >= 8: // the usual one; the skipped bytes are shifted out
		return binary.BigEndian.Uint64(user[len(user)-8:]) << (8 * uint(8-n))
	}
	var p [8]byte
	copy(p[:], user[skip:])
	return binary.BigEndian.Uint64(p[:])
}

// countLess returns how many of the ascending a are less than p. It looks at
// three at a time, which the processor can do at once.
func countLess(a []uint64, p uint64) int {
	i, n := 0, len(a)
	for n >= 4 {
		// What subtracting borrows says less or not, without a branch.
		q := n / 4
		_, x := bits.Sub64(a[i+q-1], p, 0)
		_, y := bits.Sub64(a[i+2*q-1], p, 0)
		_, z := bits.Sub64(a[i+3*q-1], p, 0)
		i += q * int(x+y+z)
		n -= 3 * q // sometimes more than is needed, never less
	}
	for ; n > 0 && a[i] < p; n-- {
		i++
	}
	return i
}
