package sstable

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// filterName is what the metaindex calls the filter block. LevelDB's
// "leveldb.BuiltinBloomFilter", without the 2, is of a hash that treated bytes
// as signed or not, as the machine did: such filters are not used.
const filterName = "filter.leveldb.BuiltinBloomFilter2"

// The filter block holds one Bloom filter for every 2 KiB of the file: filter
// i is of the user keys in the blocks that begin in the i-th 2 KiB. One of no
// keys is empty.
//
//	filter*, offset of each filter*, offset of the first offset, base
//
// Offsets are 4 bytes, little endian, base is one byte, 11. A filter is its
// bits, the lowest of a byte first, and one byte that says how many of them a
// key sets. Part of the format, never change.
const (
	filterBaseLog  = 11
	filterEnd      = 5  // the offset of the first offset, and base
	minFilterBits  = 64 // a smaller filter says yes too often
	maxFilterProbe = 30 // greater numbers are reserved
	bloomSeed      = 0xbc9f1d34
)

// bloomHash is LevelDB's own hash (google/leveldb util/hash.cc), a kind of
// Murmur. Part of the format, never change.
func bloomHash(b []byte) uint32 {
	const m = 0xc6a4a793
	h := uint32(bloomSeed ^ uint32(len(b))*m)
	for ; len(b) >= 4; b = b[4:] {
		h = (h + binary.LittleEndian.Uint32(b)) * m
		h ^= h >> 16
	}
	if len(b) == 0 {
		return h
	}
	for i, c := range b {
		h += uint32(c) << (8 * i)
	}
	h *= m
	return h ^ h>>24
}

// filterWriter collects a filter block.
type filterWriter struct {
	bitsPerKey int
	probes     int
	block      []byte
	offsets    []uint32
	hashes     []uint32 // of the keys since the last filter
}

func (w *filterWriter) init(bitsPerKey int) {
	w.bitsPerKey = bitsPerKey
	w.probes = min(max(bitsPerKey*69/100, 1), maxFilterProbe) // 0.69 is about ln 2
}

func (w *filterWriter) add(user []byte) { w.hashes = append(w.hashes, bloomHash(user)) }

// startBlock says that the keys added from now on are in a block at offset.
func (w *filterWriter) startBlock(offset uint64) {
	for offset>>filterBaseLog > uint64(len(w.offsets)) {
		w.generate()
	}
}

// finish returns the filter block.
func (w *filterWriter) finish() []byte {
	if len(w.hashes) > 0 {
		w.generate()
	}
	end := uint32(len(w.block))
	for _, o := range w.offsets {
		w.block = binary.LittleEndian.AppendUint32(w.block, o)
	}
	w.block = binary.LittleEndian.AppendUint32(w.block, end)
	return append(w.block, filterBaseLog)
}

func (w *filterWriter) generate() {
	w.offsets = append(w.offsets, uint32(len(w.block)))
	if len(w.hashes) == 0 {
		return
	}
	n := (max(len(w.hashes)*w.bitsPerKey, minFilterBits) + 7) / 8
	start := len(w.block)
	w.block = append(w.block, make([]byte, n)...)
	filter := w.block[start:]
	for _, h := range w.hashes {
		delta := bits.RotateLeft32(h, 15)
		for range w.probes {
			bit := h % uint32(8*n)
			filter[bit/8] |= 1 << (bit % 8)
			h += delta
		}
	}
	w.block = append(w.block, byte(w.probes))
	w.hashes = w.hashes[:0]
}

// filter is a filter block. The zero filter is of nothing and says maybe.
type filter struct {
	bits    []byte
	offsets []byte // one more than there are filters: the last is their end
	base    uint8
}

// parseFilter returns the filter in block. One that makes no sense is a zero
// filter: reading without one is slower, not wrong.
func parseFilter(block []byte) (f filter, ok bool) {
	if len(block) < filterEnd {
		return f, false
	}
	n := uint32(len(block) - filterEnd)
	end := binary.LittleEndian.Uint32(block[n:])
	base := block[len(block)-1]
	if end > n || (n-end)%4 != 0 || base >= 64 {
		return f, false
	}
	return filter{bits: block[:end], offsets: block[end : n+4], base: base}, true
}

// mayContain tells whether the block at offset can hold a user key of that
// hash.
func (f *filter) mayContain(offset uint64, hash uint32) bool {
	// Two offsets, where the filter begins and where the next one does.
	i := offset >> (f.base & 63) * 4
	if uint64(len(f.offsets)) < 8 || i > uint64(len(f.offsets)-8) {
		return true
	}
	word := binary.LittleEndian.Uint64(f.offsets[i:])
	start, end := uint32(word), uint32(word>>32)
	if start > end || uint64(end) > uint64(len(f.bits)) {
		return true
	}
	return bloomContains(f.bits[start:end], hash)
}

func bloomContains(filter []byte, h uint32) bool {
	if len(filter) < 2 {
		return false // of no keys
	}
	n := uint32(len(filter) - 1)
	probes := filter[n]
	if probes > maxFilterProbe || n > math.MaxUint32/8 {
		return true
	}
	delta := bits.RotateLeft32(h, 15)
	for ; probes > 0; probes-- {
		bit := h % (8 * n)
		if filter[bit/8]&(1<<(bit%8)) == 0 {
			return false
		}
		h += delta
	}
	return true
}
