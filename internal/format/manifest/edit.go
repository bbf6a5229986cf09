package manifest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/levelparty/party/internal/format"
)

// Edit is one change of the set of files, and of the numbers beside it. Those
// numbers that have a Has field count only if it is set.
type Edit struct {
	HasComparator bool
	Comparator    string

	HasLogNumber, HasPrevLogNumber, HasNextFile bool
	LogNumber, PrevLogNumber, NextFile          format.FileNum

	HasLastSeq bool
	LastSeq    format.SeqNum

	CompactPointers []CompactPointer
	Deleted         []DeletedFile // taken away before Added is added
	Added           []AddedFile
}

// FileMeta describes a table.
type FileMeta struct {
	Num  format.FileNum
	Size uint64
	// Smallest and Largest are the internal keys of its first and last entry.
	Smallest, Largest []byte
}

// CompactPointer says that the next compaction of a level begins behind Key,
// an internal key.
type CompactPointer struct {
	Level int
	Key   []byte
}

// DeletedFile is a table that a level loses.
type DeletedFile struct {
	Level int
	Num   format.FileNum
}

// AddedFile is a table that a level gains.
type AddedFile struct {
	Level int
	FileMeta
}

// maxNum bounds file numbers and sizes: goleveldb, and every API for files,
// keeps them in signed integers.
const maxNum = math.MaxInt64

// Append appends the encoded edit. REQUIRES: levels are levels, keys are
// internal keys, numbers are less than 1<<63.
func (e *Edit) Append(dst []byte) []byte {
	if e.HasComparator {
		dst = appendString(append(dst, tagComparer), e.Comparator)
	}
	if e.HasLogNumber {
		dst = binary.AppendUvarint(append(dst, tagLogNumber), uint64(e.LogNumber))
	}
	if e.HasPrevLogNumber {
		dst = binary.AppendUvarint(append(dst, tagPrevLogNumber), uint64(e.PrevLogNumber))
	}
	if e.HasNextFile {
		dst = binary.AppendUvarint(append(dst, tagNextFile), uint64(e.NextFile))
	}
	if e.HasLastSeq {
		dst = binary.AppendUvarint(append(dst, tagLastSeq), uint64(e.LastSeq))
	}
	for _, p := range e.CompactPointers {
		dst = appendString(append(dst, tagCompactPointer, byte(p.Level)), p.Key)
	}
	for _, d := range e.Deleted {
		dst = binary.AppendUvarint(append(dst, tagDeleted, byte(d.Level)), uint64(d.Num))
	}
	for i := range e.Added {
		a := &e.Added[i]
		dst = binary.AppendUvarint(append(dst, tagAdded, byte(a.Level)), uint64(a.Num))
		dst = binary.AppendUvarint(dst, a.Size)
		dst = appendString(dst, a.Smallest)
		dst = appendString(dst, a.Largest)
	}
	return dst
}

func appendString[S string | []byte](dst []byte, s S) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// Decode makes e the edit that payload encodes. It keeps nothing of payload;
// the keys share one copy. The offset in a *format.Corruption, and its file
// name, are those of the field in the edit: the caller knows the manifest.
// With an error, e is of no use.
func (e *Edit) Decode(payload []byte) error {
	*e = Edit{}
	d := decoder{b: bytes.Clone(payload)}
	for d.err == nil && d.pos < len(d.b) {
		d.begun = d.pos
		switch tag := d.uvarint(math.MaxUint32, "tag"); tag {
		case tagComparer:
			e.HasComparator, e.Comparator = true, string(d.bytes("comparer"))
		case tagLogNumber:
			e.HasLogNumber, e.LogNumber = true, d.fileNum("log number")
		case tagPrevLogNumber:
			e.HasPrevLogNumber, e.PrevLogNumber = true, d.fileNum("previous log number")
		case tagNextFile:
			e.HasNextFile, e.NextFile = true, d.fileNum("next file number")
		case tagLastSeq:
			e.HasLastSeq, e.LastSeq = true, format.SeqNum(d.uvarint(uint64(format.MaxSeqNum), "last sequence number"))
		case tagCompactPointer:
			e.CompactPointers = append(e.CompactPointers, CompactPointer{d.level(), d.key("compaction pointer")})
		case tagDeleted:
			e.Deleted = append(e.Deleted, DeletedFile{d.level(), d.fileNum("deleted file")})
		case tagAdded:
			e.Added = append(e.Added, AddedFile{d.level(), FileMeta{
				Num:      d.fileNum("added file"),
				Size:     d.uvarint(maxNum, "size of a file"),
				Smallest: d.key("smallest key"),
				Largest:  d.key("largest key"),
			}})
		default:
			d.fail(fmt.Sprintf("unknown tag %d", tag))
		}
	}
	return d.err
}

// decoder takes the parts of fields off b[pos:]. After an error it returns
// zeros.
type decoder struct {
	b     []byte
	pos   int
	begun int // where the field begins
	err   error
}

func (d *decoder) fail(reason string) {
	if d.err == nil {
		d.err = &format.Corruption{File: "version edit", Offset: int64(d.begun), Reason: reason}
	}
}

func (d *decoder) uvarint(most uint64, what string) uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.b[d.pos:])
	switch {
	case n == 0:
		d.fail(what + " is cut short")
	case n < 0 || v > most:
		d.fail(what + " is out of range")
	default:
		d.pos += n
		return v
	}
	return 0
}

func (d *decoder) fileNum(what string) format.FileNum {
	return format.FileNum(d.uvarint(maxNum, what))
}

func (d *decoder) level() int { return int(d.uvarint(NumLevels-1, "level")) }

func (d *decoder) bytes(what string) []byte {
	n := d.uvarint(math.MaxUint64, what)
	if d.err == nil && n > uint64(len(d.b)-d.pos) {
		d.fail(what + " is cut short")
	}
	if d.err != nil {
		return nil
	}
	end := d.pos + int(n)
	s := d.b[d.pos:end:end]
	d.pos = end
	return s
}

func (d *decoder) key(what string) []byte {
	k := d.bytes(what)
	if d.err == nil && len(k) < format.TrailerLen {
		d.fail(what + " is no internal key")
	}
	return k
}
