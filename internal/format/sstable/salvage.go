package sstable

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/klauspost/compress/s2"

	"github.com/levelparty/party/internal/format"
)

// Blocks returns how many data blocks the table has.
func (r *Reader) Blocks() int { return r.index.len() }

// DataEnd returns where the last data block ends.
func (r *Reader) DataEnd() uint64 {
	if r.Blocks() == 0 {
		return 0
	}
	h := r.index.handles[r.Blocks()-1]
	return h.offset + h.size + blockTrailerLen
}

// Lost is a part of a table that cannot be read.
type Lost struct {
	Offset, Size int64
	Reason       string
	// After and Upto bound the keys of the entries that were there, as far as
	// the index tells: internal keys, or nil.
	After, Upto []byte
}

// Salvage reads what can be read of a table of size bytes that may be damaged
// anywhere. Each entry is handed to entry, keys ascending; an error from there
// ends it. Each part that cannot be read is handed to lost. Without an index the
// data blocks are found by their checksums.
//
// Whole blocks are lost: what does not match its checksum may be anything.
func Salvage(src Source, size int64, name string, entry func(ikey, value []byte) error, lost func(Lost)) error {
	s := salvager{entry: entry, lost: lost}
	var r Reader
	if err := OpenInto(&r, src, size, ReaderOptions{Name: name}); err != nil {
		return s.scan(&r, size, err)
	}
	for i, h := range r.index.handles {
		l := Lost{Offset: int64(h.offset), Size: int64(h.size + blockTrailerLen), Upto: r.index.key(i)}
		if i > 0 {
			l.After = r.index.key(i - 1)
		}
		block, err := r.read(h, true, nil)
		if err != nil {
			l.Reason = reason(err)
			lost(l)
			continue
		}
		if err := s.block(block, l); err != nil {
			return err
		}
	}
	return nil
}

func reason(err error) string {
	if c, ok := err.(*format.Corruption); ok {
		return c.Reason
	}
	return err.Error()
}

type salvager struct {
	entry func(ikey, value []byte) error
	lost  func(Lost)
	last  []byte // key
}

// good reports whether it stands on an entry that can follow the last one.
func (s *salvager) good(it *blockIter) bool {
	return format.KeyKind(it.key) <= format.KindPut && (len(s.last) == 0 || format.CompareInternal(s.last, it.key) < 0)
}

// block hands out the entries of a block whose checksum is right. What is
// wrong all the same was written so; l tells where it is.
func (s *salvager) block(block []byte, l Lost) error {
	var it blockIter
	bad := 0
	if it.init(block) {
		for ok := it.first(); ok; ok = it.forward() {
			if !s.good(&it) {
				bad++
				continue
			}
			if err := s.entry(it.key, it.value); err != nil {
				return err
			}
			s.last = append(s.last[:0], it.key...)
		}
	}
	if it.bad || bad > 0 {
		l.Reason = fmt.Sprintf("%d entries that cannot be there", bad)
		if it.bad {
			l.Reason = "an entry that cannot be decoded"
		}
		s.lost(l)
	}
	return nil
}

// scan is Salvage for a table whose index cannot be read, for why. The data
// blocks stand one behind the other, from the beginning on. The first block
// that is none of them, the filter or the metaindex, ends them: the index's own
// block could else be taken for entries.
func (s *salvager) scan(r *Reader, size int64, why error) error {
	file := r.mapped
	if file == nil && size > 0 {
		var err error
		if file, err = readAll(r, size); err != nil {
			s.lost(Lost{Size: size, Reason: reason(err)})
			return nil
		}
	}
	file = file[:min(int64(len(file)), size)]
	start := 0
	for start < len(file) {
		block, end, found, other := s.find(file, start)
		if !found {
			if !other {
				s.lost(Lost{Offset: int64(start), Size: int64(len(file) - start),
					Reason: fmt.Sprintf("no more blocks can be found (%s)", reason(why))})
			}
			break
		}
		if err := s.block(block, Lost{Offset: int64(start), Size: int64(end - start)}); err != nil {
			return err
		}
		start = end
	}
	return nil
}

// readAll reads as much of the file as there is.
func readAll(r *Reader, size int64) ([]byte, error) {
	if size > math.MaxInt32 {
		return nil, fmt.Errorf("too large to be looked through: %d bytes", size)
	}
	b := make([]byte, size)
	n, err := r.src.ReadAt(b, 0)
	if n > 0 {
		err = nil
	}
	return b[:n], err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// find looks for the end of the data block that begins at start: where a
// checksum is right and entries are before it. other: a checksum is right, but
// no such block is there.
func (s *salvager) find(file []byte, start int) (block []byte, end int, found, other bool) {
	crc := ^uint32(0)
	for i := start; i+blockTrailerLen <= len(file); i++ {
		// What is now in crc is of file[start:i]; byte i would be the type.
		next := castagnoli[byte(crc)^file[i]] ^ crc>>8
		if kind := Compression(file[i]); kind <= Snappy {
			sum := ^next
			if binary.LittleEndian.Uint32(file[i+1:]) == (sum>>15|sum<<17)+0xa282ead8 {
				if block, ok := s.dataBlock(file[start:i], kind); ok {
					return block, i + blockTrailerLen, true, false
				}
				other = true
			}
		}
		crc = next
	}
	return nil, 0, false, other
}

// dataBlock unpacks a block and reports whether it can be the next data block.
func (s *salvager) dataBlock(stored []byte, kind Compression) (block []byte, ok bool) {
	block = stored
	if kind == Snappy {
		if !snappyLenOK(stored) {
			return nil, false
		}
		var err error
		if block, err = s2.Decode(nil, stored); err != nil {
			return nil, false
		}
	}
	var it blockIter
	if !it.init(block) || !it.first() {
		return nil, false
	}
	last := s.last
	for ok := true; ok; ok = it.forward() {
		if format.KeyKind(it.key) > format.KindPut || len(last) > 0 && format.CompareInternal(last, it.key) >= 0 {
			return nil, false
		}
		last = append([]byte(nil), it.key...)
	}
	return block, !it.bad && it.checkRestarts() == ""
}
