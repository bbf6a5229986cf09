package wal

import (
	"encoding/binary"
	"slices"

	"github.com/levelparty/party/internal/format"
)

// AppendRecord appends to dst the bytes of one record as they stand in a log
// at offset, where the record before it ends. If too little is left of the
// block there, they begin with the zeros that fill it. It allocates nothing if
// dst has room for EncodedLen bytes. REQUIRES: offset >= 0.
func AppendRecord(dst []byte, offset int64, payload []byte) []byte {
	dst = slices.Grow(dst, int(EncodedLen(offset, len(payload))))
	left := BlockSize - int(offset%BlockSize)
	if left < headerLen {
		dst = append(dst, make([]byte, left)...)
		left = BlockSize
	}
	if n := len(payload); n <= left-headerLen {
		return appendFragment(dst, kindFull, payload)
	}
	// A header may be all that fits: LevelDB, too, writes a FIRST without
	// payload there.
	kind := byte(kindFirst)
	for n := left - headerLen; len(payload) > n; n = BlockSize - headerLen {
		dst = appendFragment(dst, kind, payload[:n])
		payload = payload[n:]
		kind = kindMiddle
	}
	return appendFragment(dst, kindLast, payload)
}

func appendFragment(dst []byte, kind byte, payload []byte) []byte {
	at, n := len(dst), len(payload)
	dst = append(dst, 0, 0, 0, 0, byte(n), byte(n>>8), kind)
	dst = append(dst, payload...)
	binary.LittleEndian.PutUint32(dst[at:], format.Checksum(dst[at+6:]))
	return dst
}

// EncodedLen returns how many bytes AppendRecord appends for a payload of n
// bytes at offset. REQUIRES: offset >= 0, n >= 0.
func EncodedLen(offset int64, n int) int64 {
	var total int64
	left := BlockSize - int(offset%BlockSize)
	if left < headerLen {
		total, left = int64(left), BlockSize
	}
	if n <= left-headerLen {
		return total + headerLen + int64(n)
	}
	const whole = BlockSize - headerLen
	n -= left - headerLen
	fragments := int64((n + whole - 1) / whole)
	return total + int64(left) + fragments*headerLen + int64(n)
}
