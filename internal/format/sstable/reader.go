package sstable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync/atomic"

	"github.com/klauspost/compress/s2"

	"github.com/levelparty/party/internal/format"
)

// ReaderOptions say how a table is read.
type ReaderOptions struct {
	// Name of the file, for errors.
	Name string
	// ID tells the tables that share Cache apart.
	ID uint64
	// Cache keeps the blocks that cannot be used in place. Nil keeps none.
	Cache Cache
	// VerifyChecksums verifies the data blocks as they are read, those of a
	// mapped file once. Index, metaindex and filter are always verified.
	VerifyChecksums bool
}

// Reader answers from a table. It may be used by any number of goroutines at
// once. It holds nothing that must be closed, but it reads from its Source.
type Reader struct {
	src      Source
	mapped   []byte // the file, or nil
	opts     ReaderOptions
	footer   footer
	index    index
	filter   filter
	verified []atomic.Uint32 // a bit for each block of mapped, if they are to be verified
	// metaErr is why there is no filter, although there should be.
	metaErr error
}

// Open reads footer, index and filter of a table of size bytes. A damaged
// filter is left out: see Check.
func Open(src Source, size int64, o ReaderOptions) (*Reader, error) {
	r := new(Reader)
	return r, OpenInto(r, src, size, o)
}

// OpenInto is Open for a Reader that is a part of something. It must not be
// copied afterwards.
func OpenInto(r *Reader, src Source, size int64, o ReaderOptions) error {
	r.src, r.opts = src, o
	if size < footerLen {
		return r.corrupt(0, "shorter than a footer")
	}
	if m, ok := src.(interface{ Bytes() []byte }); ok {
		if r.mapped = m.Bytes(); int64(len(r.mapped)) < size {
			return r.corrupt(uint64(len(r.mapped)), "the file ends too early")
		}
		r.mapped = r.mapped[:size:size]
	}
	limit := uint64(size) - footerLen
	b, err := r.stored(limit, footerLen, nil)
	if err != nil {
		return err
	}
	var reason string
	if r.footer, reason = decodeFooter(b, limit); reason != "" {
		return r.corrupt(limit, reason)
	}
	at := r.footer.index
	block, err := r.read(at, true, nil)
	if err != nil {
		return err
	}
	if r.index, reason = parseIndex(block, limit); reason != "" {
		return r.corrupt(at.offset, reason)
	}
	if r.metaErr = r.readFilter(limit); r.metaErr != nil && !isCorruption(r.metaErr) {
		return r.metaErr
	}
	if r.mapped != nil && o.VerifyChecksums {
		r.verified = make([]atomic.Uint32, (r.index.len()+31)/32)
	}
	return nil
}

// readFilter sets r.filter, if the table has one.
func (r *Reader) readFilter(limit uint64) error {
	at := r.footer.metaindex
	block, err := r.read(at, true, nil)
	if err != nil {
		return err
	}
	entries, _, ok := splitBlock(block)
	if !ok {
		return r.corrupt(at.offset, "bad metaindex block")
	}
	var name []byte
	for next := 0; next < len(entries); {
		shared, unshared, n, body, ok := decodeEntry(entries, next)
		if !ok || shared > len(name) {
			return r.corrupt(at.offset, "bad entry in the metaindex block")
		}
		next = body + unshared + n
		name = append(name[:shared], entries[body:body+unshared]...)
		if string(name) != filterName {
			continue
		}
		h, _, ok := decodeHandle(entries[next-n:next], limit)
		if !ok {
			return r.corrupt(at.offset, "bad handle of the filter block")
		}
		block, err := r.read(h, true, nil)
		if err != nil {
			return err
		}
		if r.filter, ok = parseFilter(block); !ok {
			return r.corrupt(h.offset, "bad filter block")
		}
	}
	return nil
}

const badChecksum = "block checksum does not match"

func (r *Reader) corrupt(offset uint64, reason string) error {
	return &format.Corruption{File: r.opts.Name, Offset: int64(offset), Reason: reason}
}

func isCorruption(err error) bool {
	var c *format.Corruption
	return errors.As(err, &c)
}

// stored returns the n bytes at offset as they stand in the file, in buf if
// they are not mapped and it is long enough.
func (r *Reader) stored(offset, n uint64, buf []byte) ([]byte, error) {
	if r.mapped != nil {
		return r.mapped[offset : offset+n : offset+n], nil
	}
	if uint64(cap(buf)) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	got, err := r.src.ReadAt(buf, int64(offset))
	switch {
	case got == len(buf):
		return buf, nil
	case err == nil || err == io.EOF:
		return nil, r.corrupt(offset+uint64(got), "the file ends too early")
	}
	return nil, fmt.Errorf("%s: %w", r.opts.Name, err)
}

// Scratch is memory for a block that is not kept. The zero Scratch is empty.
// Not safe for concurrent use.
type Scratch struct{ stored, block []byte }

// read returns the block at h, uncompressed. If s is not nil the block may be
// in there, otherwise it is nobody else's or part of the mapped file.
func (r *Reader) read(h handle, verify bool, s *Scratch) ([]byte, error) {
	var none Scratch
	keep := s != nil
	if !keep {
		s = &none
	}
	b, err := r.stored(h.offset, h.size+blockTrailerLen, s.stored)
	if err != nil {
		return nil, err
	}
	if keep && r.mapped == nil {
		s.stored = b
	}
	if verify && !checksumOK(b) {
		return nil, r.corrupt(h.offset, badChecksum)
	}
	data := b[:h.size:h.size]
	switch Compression(b[h.size]) {
	case None:
		return data, nil
	case Snappy:
		if !snappyLenOK(data) {
			return nil, r.corrupt(h.offset, "bad length of a snappy block")
		}
		block, err := s2.Decode(s.block, data)
		if err != nil {
			return nil, r.corrupt(h.offset, "bad snappy block")
		}
		if keep {
			s.block = block
		}
		return block, nil
	}
	return nil, r.corrupt(h.offset, fmt.Sprintf("unknown block type %d", b[h.size]))
}

// snappyLenOK tells whether b can be as long as it claims: nothing in snappy
// makes more than 64 bytes of 3. A length that lies would take the memory.
func snappyLenOK(b []byte) bool {
	n, w := binary.Uvarint(b)
	return w > 0 && n <= 22*uint64(len(b)) && n <= math.MaxInt32
}

// data returns data block i: in place, out of the cache, or in s if it is not
// nil and the block is not worth being kept. With scan nothing is.
func (r *Reader) data(i int, s *Scratch, scan bool) ([]byte, error) {
	h := r.index.handles[i]
	if r.mapped != nil {
		b := r.mapped[h.offset : h.offset+h.size+blockTrailerLen]
		if Compression(b[h.size]) == None {
			if r.verified != nil && !r.verify(i, b) {
				return nil, r.corrupt(h.offset, badChecksum)
			}
			return b[:h.size:h.size], nil
		}
	}
	return r.dataSlow(h, s, scan)
}

// verify verifies block i with its trailer, if that was not done before.
func (r *Reader) verify(i int, b []byte) bool {
	word, bit := &r.verified[i/32], uint32(1)<<(i%32)
	if word.Load()&bit != 0 {
		return true
	}
	if !checksumOK(b) {
		return false
	}
	word.Or(bit)
	return true
}

func (r *Reader) dataSlow(h handle, s *Scratch, scan bool) ([]byte, error) {
	c := r.opts.Cache
	if c == nil {
		return r.read(h, r.opts.VerifyChecksums, s)
	}
	if b := c.Get(r.opts.ID, h.offset); b != nil {
		return b, nil
	}
	if s != nil && (scan || !c.Worth(r.opts.ID, h.offset)) {
		return r.read(h, r.opts.VerifyChecksums, s)
	}
	b, err := r.read(h, r.opts.VerifyChecksums, nil)
	if err == nil {
		c.Put(r.opts.ID, h.offset, b)
	}
	return b, err
}

// Get finds the newest entry of user that is not newer than seq. value is part
// of a block and must not be changed; it is valid as long as the Source is and
// s, if that is not nil, is not used again. A deletion is an entry, too: the
// trailer tells.
func (r *Reader) Get(user []byte, seq format.SeqNum, s *Scratch) (value []byte, trailer uint64, ok bool, err error) {
	limit := format.Trailer(seq, format.KindPut)
	i := r.index.find(user, limit)
	if i == r.index.len() || !r.filter.mayContain(r.index.handles[i].offset, bloomHash(user)) {
		return nil, 0, false, nil
	}
	block, err := r.data(i, s, false)
	if err != nil {
		return nil, 0, false, err
	}
	value, trailer, found, ok := lookup(block, user, limit)
	if !ok || found && format.Kind(trailer) > format.KindPut {
		return nil, 0, false, r.corrupt(r.index.handles[i].offset, "bad entry in a data block")
	}
	return value, trailer, found, nil
}

// MayContain tells whether the table can hold an entry of user. Without a
// filter it looks no closer than at the index.
func (r *Reader) MayContain(user []byte) bool {
	i := r.index.find(user, math.MaxUint64)
	return i < r.index.len() && r.filter.mayContain(r.index.handles[i].offset, bloomHash(user))
}

// ApproximateOffset returns about where in the file ikey is or would be.
func (r *Reader) ApproximateOffset(ikey []byte) uint64 {
	i := r.index.find(format.UserKey(ikey), format.KeyTrailer(ikey))
	if i == r.index.len() {
		return r.footer.metaindex.offset
	}
	return r.index.handles[i].offset
}
