package sstable

import (
	"encoding/binary"

	"github.com/levelparty/party/internal/format"
)

// blockIter walks the internal keys of a block. It stands on an entry after a
// method that returned true. After one that returned false bad tells whether
// the block is damaged or merely at its end.
//
// Going forward is cheap in this form of block, going back is not: a key is
// made of the one before it. So the first step back notes, from the restart
// point on, what each entry takes away from the key before it; the
// steps that follow put it back.
type blockIter struct {
	entries  []byte
	restarts []byte
	off      int    // of the current entry
	next     int    // behind the current entry
	key      []byte // a buffer of this iterator's own
	value    []byte // within entries
	bad      bool

	// undo are the entries from a restart point to the current one, if steps
	// back are known. Its first is the restart point.
	undo []undoEntry
	cut  []byte // what they took away, one behind the other
}

type undoEntry struct {
	off, value, next int
	shared           int // the length at which the key before was cut
	cut              int // where blockIter.cut then ended
}

// init begins to walk block and stands nowhere.
func (b *blockIter) init(block []byte) bool {
	var ok bool
	b.entries, b.restarts, ok = splitBlock(block)
	b.bad = !ok
	b.undo = b.undo[:0]
	return ok
}

func (b *blockIter) fail() bool {
	b.bad = true
	return false
}

// parse goes to the entry at b.next. b.key is the key before it.
func (b *blockIter) parse() bool {
	off := b.next
	if off >= len(b.entries) {
		return false
	}
	shared, unshared, value, body, ok := decodeEntry(b.entries, off)
	if !ok || shared > len(b.key) || shared+unshared < format.TrailerLen {
		return b.fail()
	}
	b.off = off
	end := body + unshared
	b.key = append(b.key[:shared], b.entries[body:end]...)
	b.next = end + value
	b.value = b.entries[end:b.next:b.next]
	return true
}

// restart returns the offset of the i-th restart point.
func (b *blockIter) restart(i int) int {
	return int(binary.LittleEndian.Uint32(b.restarts[4*i:]))
}

func (b *blockIter) first() bool {
	b.undo = b.undo[:0]
	b.key = b.key[:0]
	b.next = 0
	return b.parse()
}

func (b *blockIter) forward() bool {
	if len(b.undo) > 0 {
		b.undo = b.undo[:0]
	}
	return b.parse()
}

// seek goes to the first entry at or after ikey.
func (b *blockIter) seek(ikey []byte) bool {
	// The last restart point before ikey; it, or the first, is lo.
	lo, hi := 0, len(b.restarts)/4-1
	for lo < hi {
		mid := int(uint(lo+hi+1) / 2)
		shared, unshared, _, body, ok := decodeEntry(b.entries, b.restart(mid))
		if !ok || shared != 0 || unshared < format.TrailerLen {
			return b.fail()
		}
		if format.CompareInternal(b.entries[body:body+unshared], ikey) < 0 {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	b.undo = b.undo[:0]
	b.key = b.key[:0]
	b.next = 0
	if lo > 0 {
		b.next = b.restart(lo)
	}
	for b.parse() {
		if format.CompareInternal(b.key, ikey) >= 0 {
			return true
		}
	}
	return false
}

func (b *blockIter) last() bool {
	b.off = len(b.entries)
	return b.replay()
}

// back goes to the entry before the current one.
func (b *blockIter) back() bool {
	n := len(b.undo)
	if n < 2 {
		return b.replay()
	}
	u := &b.undo[n-1]
	b.key = append(b.key[:u.shared], b.cut[u.cut:]...)
	b.cut = b.cut[:u.cut]
	u = &b.undo[n-2]
	b.off, b.next = u.off, u.next
	b.value = b.entries[u.value:u.next:u.next]
	b.undo = b.undo[:n-1]
	return true
}

// replay goes to the last entry that begins before b.off, from the last
// restart point before it, and notes how to step back.
func (b *blockIter) replay() bool {
	end := b.off
	b.undo, b.cut = b.undo[:0], b.cut[:0]
	if end == 0 {
		return false
	}
	lo, hi := 0, len(b.restarts)/4-1
	for lo < hi {
		if mid := int(uint(lo+hi+1) / 2); b.restart(mid) < end {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	b.key = b.key[:0]
	b.next = 0
	if lo > 0 {
		b.next = b.restart(lo)
	}
	for b.next < end {
		// Before parse puts the new key over the old one.
		shared, _, _, _, _ := decodeEntry(b.entries, b.next)
		cut := len(b.cut)
		if shared < len(b.key) {
			b.cut = append(b.cut, b.key[shared:]...)
		}
		if !b.parse() {
			return false
		}
		b.undo = append(b.undo, undoEntry{off: b.off, value: b.next - len(b.value), next: b.next, shared: shared, cut: cut})
	}
	return len(b.undo) > 0 || b.fail()
}
