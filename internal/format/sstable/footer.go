package sstable

import "encoding/binary"

// A table ends in a footer:
//
//	0   metaindex handle, index handle, zeros
//	40  magic number                           8 bytes, little endian
//
// Part of the format, never change.
const (
	footerLen   = 2*maxHandleLen + 8
	footerMagic = 0xdb4775248b80fb57
)

type footer struct {
	metaindex, index handle
}

func (f footer) append(dst []byte) []byte {
	var b [footerLen]byte
	f.index.append(f.metaindex.append(b[:0]))
	binary.LittleEndian.PutUint64(b[2*maxHandleLen:], footerMagic)
	return append(dst, b[:]...)
}

// decodeFooter returns what is wrong with b, the last bytes of a table, as
// reason. The blocks of the table end before limit.
// REQUIRES: len(b) == footerLen.
func decodeFooter(b []byte, limit uint64) (f footer, reason string) {
	if binary.LittleEndian.Uint64(b[2*maxHandleLen:]) != footerMagic {
		return f, "not a table: no magic number at its end"
	}
	var ok bool
	rest := b[:2*maxHandleLen]
	if f.metaindex, rest, ok = decodeHandle(rest, limit); !ok {
		return f, "bad handle of the metaindex block"
	}
	if f.index, _, ok = decodeHandle(rest, limit); !ok {
		return f, "bad handle of the index block"
	}
	return f, ""
}
