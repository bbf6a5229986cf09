package wal

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/levelparty/party/internal/format"
)

// Reader returns the records of a log, or of a part of one, in order. It is
// used by one goroutine at a time.
//
// It reads a block at a time and nothing at or behind its limit, so the part
// of a file behind the limit may be written meanwhile.
type Reader struct {
	src   io.ReaderAt
	name  string
	limit int64 // negative: none

	// buf is what was read of a block; it stands in the file at offset at.
	// buf[pos:] was not looked at yet.
	buf  []byte
	at   int64
	pos  int
	last bool // nothing follows buf

	// record gathers the fragments of a record that begins at offset begun,
	// while inside.
	record []byte
	begun  int64
	inside bool

	end  int64 // behind the last record
	junk bool  // what was read behind end is not all zeros
	// lost: damage was reported, and fragments without a beginning that follow
	// belong to it.
	lost bool
	// dropped is what, with the last damage, was dropped unread of its block.
	dropped []byte
	// sound: damage before this offset is known to have a record behind it.
	sound int64
	err   error              // the end, of one sort or another
	tail  *format.Corruption // see Damage

	mem []byte // what buf is read into
}

// NewReader returns a Reader of what stands in src from offset on, up to limit
// or, if that is negative, to the end of the file. A limit is to it what the
// end of the file is. Errors call the log name.
// REQUIRES: offset is 0 or an end that Next has returned, or AppendRecord has
// reached.
func NewReader(src io.ReaderAt, name string, offset, limit int64) *Reader {
	r := new(Reader)
	r.Reset(src, name, offset, limit)
	return r
}

// Reset makes r what NewReader returns, without the allocations.
func (r *Reader) Reset(src io.ReaderAt, name string, offset, limit int64) {
	*r = Reader{src: src, name: name, limit: limit, at: offset, end: offset, mem: r.mem, record: r.record[:0]}
}

// Next returns the next record, valid until the following call, and the offset
// just behind it, where a later one may begin.
//
// io.EOF says that no whole record follows. Torn tells whether that is a clean
// end or what is left of a record that was never finished.
//
// A *format.Corruption says that something is damaged although a whole record
// stands behind it, so that it was not the write that a crash cut short; or at
// least not the only one, since after the loss of power any page that was not
// synced can be missing. The following call goes on behind the damage where
// LevelDB does, mostly with the next block.
//
// Any other error comes from the source, and stays.
func (r *Reader) Next() (payload []byte, end int64, err error) {
	if r.err != nil {
		return nil, r.end, r.err
	}
	payload, err = r.next()
	if err == nil {
		return payload, r.end, nil
	}
	if damage, ok := err.(*format.Corruption); ok {
		if damage.Offset < r.sound || r.recordBehind() {
			return nil, r.end, damage
		}
		r.tail = damage
		err = r.err // of the source, while looking
		if err == nil {
			err = io.EOF
		}
	}
	r.err = err
	return nil, r.end, err
}

// End returns the offset behind the last record that Next has returned, or
// where it began to read. After io.EOF, if no corruption was reported, all is
// valid up to there and a writer may go on there.
func (r *Reader) End() int64 { return r.end }

// Torn reports, after io.EOF, whether anything but zeros stands behind End: a
// record of which only a part was written, most likely.
func (r *Reader) Torn() bool { return r.err == io.EOF && r.junk }

// Damage returns, after io.EOF, what is wrong behind End; nil if the file just
// ends there, or inside a record.
func (r *Reader) Damage() error {
	if r.tail == nil {
		return nil
	}
	return r.tail
}

// next is Next for one that calls all damage a corruption.
func (r *Reader) next() ([]byte, error) {
	r.dropped = nil
	for {
		f, err := r.fragment()
		if err != nil {
			if damage, ok := err.(*format.Corruption); ok {
				return nil, r.damage(damage)
			}
			return nil, err // inside a record, too: its writer died
		}
		switch f.kind {
		case kindZero:
			if len(f.payload) > 0 {
				return nil, r.unknown(f)
			}
			if r.inside {
				return nil, r.damaged(r.begun, "a record ends in zeros")
			}
		case kindFull, kindFirst:
			// Old versions of LevelDB left a FIRST without payload at the end
			// of a block and began again in the next.
			if r.inside && len(r.record) > 0 {
				r.pos -= headerLen + len(f.payload)
				return nil, r.damaged(r.begun, "a record has no end")
			}
			r.lost = false
			if f.kind == kindFull {
				return r.whole(f.payload), nil
			}
			r.inside, r.begun, r.junk = true, f.offset, true
			r.record = append(r.record[:0], f.payload...)
		case kindMiddle, kindLast:
			r.junk = true
			if !r.inside {
				if r.lost {
					continue
				}
				return nil, r.damaged(f.offset, "the beginning of a record is missing")
			}
			r.record = append(r.record, f.payload...)
			if f.kind == kindLast {
				return r.whole(r.record), nil
			}
		default:
			return nil, r.unknown(f)
		}
	}
}

func (r *Reader) whole(payload []byte) []byte {
	r.inside, r.junk, r.end = false, false, r.at+int64(r.pos)
	return payload
}

// unknown: the checksum is right, so nothing cut this short.
func (r *Reader) unknown(f fragment) error {
	r.sound = max(r.sound, f.offset+1)
	return r.damaged(f.offset, fmt.Sprintf("unknown kind of fragment %d", f.kind))
}

func (r *Reader) damaged(offset int64, reason string) error {
	return r.damage(&format.Corruption{File: r.name, Offset: offset, Reason: reason})
}

func (r *Reader) damage(c *format.Corruption) error {
	r.inside, r.lost, r.junk = false, true, true
	return c
}

// fragment is a fragment whose checksum is right or, with kindZero and no
// payload, the rest of a block that was not written.
type fragment struct {
	kind    byte
	offset  int64
	payload []byte // part of the block
}

// fragment takes the next fragment out of the block. Damage costs the rest of
// the block: the length cannot be trusted, and in the payload of a record
// something may stand that looks like a record.
func (r *Reader) fragment() (fragment, error) {
	for len(r.buf)-r.pos < headerLen {
		r.skip()
		if r.last {
			return fragment{}, io.EOF
		}
		if err := r.load(); err != nil {
			return fragment{}, err
		}
	}
	rest := r.buf[r.pos:]
	offset := r.at + int64(r.pos)
	size := headerLen + int(binary.LittleEndian.Uint16(rest[4:]))
	kind := rest[6]
	switch {
	case size > len(rest):
		r.skip()
		if r.last {
			return fragment{}, io.EOF
		}
		r.dropped = rest[1:]
		return fragment{}, &format.Corruption{File: r.name, Offset: offset, Reason: "a fragment runs past its block"}
	case kind == kindZero && size == headerLen:
		r.skip()
		return fragment{kind: kindZero, offset: offset}, nil
	case binary.LittleEndian.Uint32(rest) != format.Checksum(rest[6:size]):
		r.skip()
		r.dropped = rest[size:]
		return fragment{}, &format.Corruption{File: r.name, Offset: offset, Reason: "the checksum of a fragment is wrong"}
	}
	r.pos += size
	return fragment{kind, offset, rest[headerLen:size:size]}, nil
}

// skip drops the rest of the block.
func (r *Reader) skip() {
	r.junk = r.junk || !zeros(r.buf[r.pos:])
	r.pos = len(r.buf)
}

// load reads the next block, or the rest of one if r begins inside it.
func (r *Reader) load() error {
	next := r.at + int64(len(r.buf))
	size := BlockSize - int(next%BlockSize)
	if r.limit >= 0 && r.limit-next < int64(size) {
		size = int(max(r.limit-next, 0))
		r.last = true
	}
	if cap(r.mem) < size {
		// A member that follows a log needs little at a time.
		const few = 4 << 10
		if size <= few {
			r.mem = make([]byte, few)
		} else {
			r.mem = make([]byte, BlockSize)
		}
	}
	n := 0
	if size > 0 {
		var err error
		n, err = r.src.ReadAt(r.mem[:size], next)
		if n < size {
			if err != io.EOF {
				return err
			}
			r.last = true
		}
	}
	r.buf, r.at, r.pos = r.mem[:n], next, 0
	return nil
}

// recordBehind reports whether behind the damage just found a whole record
// stands, be it one that was dropped with the rest of its block. What it has
// found it remembers, so that a log is read twice at most.
func (r *Reader) recordBehind() bool {
	ahead := *r
	ahead.mem, ahead.record = nil, nil // r goes on with its own
	for {
		if begins(ahead.dropped) {
			r.sound = ahead.at + int64(len(ahead.buf))
			return true
		}
		_, err := ahead.next()
		if err == nil {
			r.sound = ahead.end
			return true
		}
		if _, ok := err.(*format.Corruption); !ok {
			if err != io.EOF {
				r.err = err
			}
			return false
		}
	}
}

// begins reports whether a record begins anywhere in b.
func begins(b []byte) bool {
	// What was made to look like the beginnings of many long records must not
	// take forever.
	budget := 32 * BlockSize
	for ; len(b) >= headerLen && budget > 0; b = b[1:] {
		if b[6] != kindFull && b[6] != kindFirst {
			continue
		}
		size := headerLen + int(binary.LittleEndian.Uint16(b[4:]))
		if size > len(b) {
			continue
		}
		budget -= size
		if binary.LittleEndian.Uint32(b) == format.Checksum(b[6:size]) {
			return true
		}
	}
	return false
}

func zeros(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b) != 0 {
			return false
		}
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
