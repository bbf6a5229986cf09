package sstable

import "encoding/binary"

// A block is a run of entries that ascend by key, and a list of those that
// stand for themselves, the restart points:
//
//	block := entry*, offset of each restart point, their number
//	entry := shared, unshared, value length, key bytes, value
//
// The three lengths are uvarints, offsets and number 4 bytes, little endian.
// A key is the first shared bytes of the key before it and the unshared ones
// that stand here; at a restart point shared is 0. The first entry is a
// restart point, and a block of no entries has that one too. Part of the
// format, never change.

// blockWriter makes blocks at the end of a file's bytes.
type blockWriter struct {
	interval int    // of restart points, in entries
	start    int    // of the block
	entries  int    // since the last restart point
	last     []byte // key
	restarts []uint32
}

// begin begins a block at the end of file.
func (w *blockWriter) begin(file []byte) {
	w.start = len(file)
	w.entries = 0
	w.last = w.last[:0]
	w.restarts = append(w.restarts[:0], 0)
}

// add appends an entry. REQUIRES: key is greater than all before.
func (w *blockWriter) add(file, key, value []byte) []byte {
	shared := 0
	if w.entries == w.interval {
		w.restarts = append(w.restarts, uint32(len(file)-w.start))
		w.entries = 0
	} else {
		shared = sharedLen(w.last, key)
	}
	w.entries++
	w.last = append(w.last[:shared], key[shared:]...)
	file = binary.AppendUvarint(file, uint64(shared))
	file = binary.AppendUvarint(file, uint64(len(key)-shared))
	file = binary.AppendUvarint(file, uint64(len(value)))
	file = append(file, key[shared:]...)
	return append(file, value...)
}

// size returns how long the block would be if it were finished.
func (w *blockWriter) size(file []byte) int {
	return len(file) - w.start + 4*len(w.restarts) + 4
}

func (w *blockWriter) empty(file []byte) bool { return len(file) == w.start }

// finish appends what ends the block.
func (w *blockWriter) finish(file []byte) []byte {
	for _, r := range w.restarts {
		file = binary.LittleEndian.AppendUint32(file, r)
	}
	return binary.LittleEndian.AppendUint32(file, uint32(len(w.restarts)))
}

func sharedLen(a, b []byte) int {
	n := min(len(a), len(b))
	a, b = a[:n], b[:n]
	i := 0
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// splitBlock returns the entries and the restart points of a block.
func splitBlock(block []byte) (entries, restarts []byte, ok bool) {
	if len(block) < 4 {
		return nil, nil, false
	}
	end := len(block) - 4
	n := binary.LittleEndian.Uint32(block[end:])
	if uint64(n) > uint64(end)/4 {
		return nil, nil, false
	}
	first := end - 4*int(n)
	return block[:first], block[first:end], n > 0 || first == 0
}

// decodeEntry decodes the lengths of the entry at offset off of entries. Its
// unshared key bytes begin at body, and they and the value are within entries.
func decodeEntry(entries []byte, off int) (shared, unshared, value, body int, ok bool) {
	if uint(off) >= uint(len(entries)) || len(entries)-off < 3 {
		return 0, 0, 0, 0, false
	}
	b := entries[off:]
	if b[0]|b[1]|b[2] < 0x80 {
		shared, unshared, value, body = int(b[0]), int(b[1]), int(b[2]), off+3
	} else if shared, unshared, value, body = decodeLongEntry(b); body == 0 {
		return 0, 0, 0, 0, false
	} else {
		body += off
	}
	return shared, unshared, value, body, unshared+value <= len(entries)-body
}

// decodeLongEntry is decodeEntry for lengths that need more than a byte. A
// body of 0 is damage.
func decodeLongEntry(b []byte) (shared, unshared, value, body int) {
	s, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, 0, 0, 0
	}
	u, m := binary.Uvarint(b[n:])
	if m <= 0 {
		return 0, 0, 0, 0
	}
	v, k := binary.Uvarint(b[n+m:])
	// Nothing is longer than the block, so sums of two cannot overflow.
	if size := uint64(len(b)); k <= 0 || s > 1<<30 || u > size || v > size {
		return 0, 0, 0, 0
	}
	return int(s), int(u), int(v), n + m + k
}
