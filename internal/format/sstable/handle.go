package sstable

import (
	"encoding/binary"
	"math"

	"github.com/levelparty/party/internal/format"
)

// A handle is where a block stands: two uvarints, the offset and the length
// without the trailer. The trailer follows the block:
//
//	type      1 byte   a Compression
//	checksum  4 bytes  of block and type, masked, little endian
//
// Part of the format, never change.
type handle struct {
	offset uint64
	size   uint64
}

const (
	blockTrailerLen = 5
	maxHandleLen    = 2 * binary.MaxVarintLen64
)

func (h handle) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, h.offset)
	return binary.AppendUvarint(dst, h.size)
}

// decodeHandle decodes the handle that b begins with and returns the rest. A
// block that does not lie within the first limit bytes is not ok.
func decodeHandle(b []byte, limit uint64) (h handle, rest []byte, ok bool) {
	var n, m int
	if h.offset, n = binary.Uvarint(b); n <= 0 {
		return h, nil, false
	}
	if h.size, m = binary.Uvarint(b[n:]); m <= 0 {
		return h, nil, false
	}
	ok = h.offset <= limit && h.size <= limit-h.offset && limit-h.offset-h.size >= blockTrailerLen &&
		h.size <= math.MaxInt32
	return h, b[n+m:], ok
}

// appendBlockTrailer appends to a file that ends in a block, the bytes from
// start on, what follows the block.
func appendBlockTrailer(file []byte, start int, c Compression) []byte {
	file = append(file, byte(c))
	return binary.LittleEndian.AppendUint32(file, format.Checksum(file[start:]))
}

// checksumOK tells whether block with its trailer is what was written.
func checksumOK(block []byte) bool {
	n := len(block) - 4
	return format.Checksum(block[:n]) == binary.LittleEndian.Uint32(block[n:])
}
