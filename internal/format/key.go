package format

import (
	"bytes"
	"cmp"
	"encoding/binary"
)

// An internal key is what memtables and tables order (google/leveldb
// db/dbformat.h):
//
//	internal key := user key, trailer
//	trailer      := sequence number << 8 | kind    8 bytes, little endian
//
// Keys ascend; of one user key the newest entry, with the greatest trailer,
// comes first. Part of the format, never change.

// SeqNum numbers the writes of a database. Each record of a batch has its own.
type SeqNum uint64

// FileNum numbers the files of a database: logs, tables, manifests.
type FileNum uint64

// Kind says what an entry does to its key. It is the first byte of a batch
// record, too.
type Kind uint8

const (
	KindDelete Kind = recordDelete
	KindPut    Kind = recordPut
)

const (
	// MaxSeqNum is the greatest sequence number that a trailer can hold.
	MaxSeqNum SeqNum = 1<<56 - 1
	// TrailerLen is what an internal key is longer than its user key, in bytes.
	TrailerLen = 8
	// ComparerName is the name of the order of keys that manifests hold.
	ComparerName = "leveldb.BytewiseComparator"
)

// Trailer packs seq and kind. To look for the newest entry of a key that is
// not newer than seq, look for the first at or behind Trailer(seq, KindPut).
func Trailer(seq SeqNum, kind Kind) uint64 { return uint64(seq)<<8 | uint64(kind) }

// AppendInternalKey appends the internal key of an entry.
func AppendInternalKey(dst, user []byte, seq SeqNum, kind Kind) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, user...), Trailer(seq, kind))
}

// UserKey returns the user key in an internal key.
// REQUIRES: len(ikey) >= TrailerLen, as of all functions on internal keys.
func UserKey(ikey []byte) []byte { return ikey[: len(ikey)-TrailerLen : len(ikey)-TrailerLen] }

// KeyTrailer returns the trailer of an internal key.
func KeyTrailer(ikey []byte) uint64 {
	return binary.LittleEndian.Uint64(ikey[len(ikey)-TrailerLen:])
}

// KeySeq returns the sequence number in an internal key.
func KeySeq(ikey []byte) SeqNum { return SeqNum(KeyTrailer(ikey) >> 8) }

// KeyKind returns the kind in an internal key.
func KeyKind(ikey []byte) Kind { return Kind(KeyTrailer(ikey)) }

// CompareInternal orders internal keys.
func CompareInternal(a, b []byte) int {
	if c := bytes.Compare(a[:len(a)-TrailerLen], b[:len(b)-TrailerLen]); c != 0 {
		return c
	}
	return cmp.Compare(KeyTrailer(b), KeyTrailer(a))
}

// Separator appends an internal key k with a <= k < b, as short as it easily
// can be. REQUIRES: a < b.
func Separator(dst, a, b []byte) []byte {
	ua, ub := UserKey(a), UserKey(b)
	n := 0
	for n < len(ua) && n < len(ub) && ua[n] == ub[n] {
		n++
	}
	if n+1 < len(ua) && n < len(ub) && ua[n] != 0xff && ua[n]+1 < ub[n] {
		dst = append(dst, ua[:n+1]...)
		dst[len(dst)-1]++
		return binary.LittleEndian.AppendUint64(dst, Trailer(MaxSeqNum, KindPut))
	}
	return append(dst, a...)
}

// Successor appends an internal key k >= a, as short as it easily can be.
func Successor(dst, a []byte) []byte {
	ua := UserKey(a)
	for n, c := range ua {
		if c != 0xff {
			if n+1 == len(ua) {
				break // not shorter
			}
			dst = append(dst, ua[:n+1]...)
			dst[len(dst)-1]++
			return binary.LittleEndian.AppendUint64(dst, Trailer(MaxSeqNum, KindPut))
		}
	}
	return append(dst, a...)
}
