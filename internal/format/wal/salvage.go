package wal

import (
	"encoding/binary"
	"io"

	"github.com/levelparty/party/internal/format"
)

// Salvaged is a record found by Salvage. Its payload is valid until the visit
// ends.
type Salvaged struct {
	Payload    []byte
	Begin, End int64 // in the file
	// Doubtful: it stands behind damage in the same block, where its beginning
	// was looked for. It may be a part of another record's payload that looks
	// like a record, and whoever knows what records say should look twice.
	Doubtful bool
}

// Salvage visits all records of a log, those too that Reader drops because
// something else in their block is damaged. Every run of bytes that is in no
// record, and not zero, is handed to lost, in order with the records. The error
// is visit's.
func Salvage(src io.ReaderAt, visit func(Salvaged) error, lost func(begin, end int64, reason string)) error {
	s := salvager{visit: visit, lost: lost}
	buf := make([]byte, BlockSize)
	for at := int64(0); ; at += BlockSize {
		n, err := src.ReadAt(buf, at)
		if n > 0 {
			if err := s.block(buf[:n], at); err != nil {
				return err
			}
		}
		if n < BlockSize {
			if err != nil && err != io.EOF {
				s.drop(at+int64(n), err.Error()) // the disk fails
				s.gap(at+int64(n), at+BlockSize, err.Error())
				if n == 0 {
					// Others may be whole, but where the file ends is not known.
					s.flush()
					return nil
				}
				continue
			}
			s.drop(at+int64(n), "the rest of a record is missing")
			s.flush()
			return nil
		}
	}
}

type salvager struct {
	visit func(Salvaged) error
	lost  func(begin, end int64, reason string)

	record   []byte // fragments, while inside
	begun    int64
	inside   bool
	doubtful bool // of record

	// A run of lost bytes that may yet grow.
	from, to int64
	reason   string
}

// gap adds bytes to what is lost.
func (s *salvager) gap(begin, end int64, reason string) {
	if begin >= end {
		return
	}
	if s.to == begin && s.to > s.from {
		s.to = end
		return
	}
	s.flush()
	s.from, s.to, s.reason = begin, end, reason
}

func (s *salvager) flush() {
	if s.to > s.from {
		s.lost(s.from, s.to, s.reason)
	}
	s.from, s.to = 0, 0
}

// drop gives up a record that goes on until end.
func (s *salvager) drop(end int64, reason string) {
	if s.inside {
		s.inside = false
		s.gap(s.begun, end, reason)
	}
}

// valid returns the length of the fragment that b begins with, 0 if it is none.
func valid(b []byte) int {
	if len(b) < headerLen || b[6] < kindFull || b[6] > kindLast {
		return 0
	}
	size := headerLen + int(binary.LittleEndian.Uint16(b[4:]))
	if size > len(b) || binary.LittleEndian.Uint32(b) != format.Checksum(b[6:size]) {
		return 0
	}
	return size
}

// block takes a block's fragments, wherever they begin.
func (s *salvager) block(b []byte, at int64) error {
	doubtful := false
	for pos := 0; pos < len(b); {
		if size := valid(b[pos:]); size > 0 {
			if err := s.fragment(b[pos:pos+size], at+int64(pos), doubtful); err != nil {
				return err
			}
			pos += size
			continue
		}
		if zeros(b[pos:]) {
			if len(b)-pos >= headerLen {
				s.drop(at+int64(pos), "a record ends in zeros")
			}
			return nil // allocated and not written, or the end of a block
		}
		// Where the damaged fragment says that it ends, most likely; else
		// anywhere.
		next := 0
		if len(b)-pos >= headerLen {
			if n := pos + headerLen + int(binary.LittleEndian.Uint16(b[pos+4:])); n < len(b) && valid(b[n:]) > 0 {
				next = n
			}
		}
		budget := 32 * BlockSize // see begins
		for n := pos + 1; next == 0 && len(b)-n >= headerLen && budget > 0; n++ {
			if b[n+6] < kindFull || b[n+6] > kindLast {
				continue
			}
			budget -= headerLen + int(binary.LittleEndian.Uint16(b[n+4:]))
			if valid(b[n:]) > 0 {
				next = n
			}
		}
		if next == 0 {
			next = len(b)
		}
		const reason = "the checksum of a fragment is wrong"
		s.drop(at+int64(pos), reason)
		s.gap(at+int64(pos), at+int64(next), reason)
		pos, doubtful = next, true
	}
	return nil
}

func (s *salvager) fragment(f []byte, offset int64, doubtful bool) error {
	end := offset + int64(len(f))
	kind, payload := f[6], f[headerLen:]
	switch kind {
	case kindFull, kindFirst:
		if s.inside && len(s.record) == 0 {
			s.inside = false // as old versions of LevelDB left it
		}
		s.drop(offset, "a record has no end")
		if kind == kindFull {
			s.flush()
			return s.visit(Salvaged{payload, offset, end, doubtful})
		}
		s.inside, s.begun, s.doubtful = true, offset, doubtful
		s.record = append(s.record[:0], payload...)
	default:
		if !s.inside {
			s.gap(offset, end, "the beginning of a record is missing")
			return nil
		}
		s.record = append(s.record, payload...)
		s.doubtful = s.doubtful || doubtful
		if kind == kindLast {
			s.inside = false
			s.flush()
			return s.visit(Salvaged{s.record, s.begun, end, s.doubtful})
		}
	}
	return nil
}
