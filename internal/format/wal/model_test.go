package wal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/wal"
)

// levelDBRecords returns the records that C++ LevelDB's reader, as
// db/log_reader.cc states it, finds in a log from offset on when it ignores
// damage.
func levelDBRecords(log []byte, offset int) (records [][]byte) {
	var record []byte
	inside := false
	for offset < len(log) {
		size := wal.BlockSize - offset%wal.BlockSize
		block := log[offset:min(len(log), offset+size)]
		offset += len(block)
		partial := len(block) < size // read short: the end of the file
		for len(block) >= 7 {
			n, kind := int(block[4])|int(block[5])<<8, block[6]
			if 7+n > len(block) {
				if partial {
					return records
				}
				inside = false
				break
			}
			if kind == 0 && n == 0 || binary.LittleEndian.Uint32(block) != format.Checksum(block[6:7+n]) {
				inside = false
				break
			}
			payload := block[7 : 7+n]
			block = block[7+n:]
			switch kind {
			case 1:
				records, inside = append(records, payload), false
			case 2:
				record, inside = bytes.Clone(payload), true
			case 3, 4:
				if inside {
					record = append(record, payload...)
				}
				if inside && kind == 4 {
					records, inside = append(records, record), false
				}
			default:
				inside = false
			}
		}
	}
	return records
}

// source is a log of which nothing behind limit may be read.
type source struct {
	t     testing.TB
	b     []byte
	limit int64
}

func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if s.limit >= 0 && off+int64(len(p)) > s.limit {
		s.t.Errorf("read of %d bytes at %d, limit %d", len(p), off, s.limit)
	}
	return bytes.NewReader(s.b).ReadAt(p, off)
}

// outcome is all that a Reader says of a log.
type outcome struct {
	records [][]byte
	ends    []int64
	damage  []*format.Corruption
	end     int64
	torn    bool
}

// String names records by their length and damage by its offset, in order of
// what is behind.
func (o *outcome) String() string {
	var s strings.Builder
	for i, r := range o.records {
		fmt.Fprintf(&s, "%d bytes to %d\n", len(r), o.ends[i])
	}
	for _, d := range o.damage {
		fmt.Fprintf(&s, "damage at %d: %s\n", d.Offset, d.Reason)
	}
	fmt.Fprintf(&s, "end %d, torn %v\n", o.end, o.torn)
	return s.String()
}

// readAll reads a log to its end and checks what always holds.
func readAll(t testing.TB, log []byte, offset, limit int64) *outcome {
	t.Helper()
	r := wal.NewReader(&source{t, log, limit}, "test.log", offset, limit)
	o := &outcome{end: offset}
	damagedAt := int64(-1)
	for steps := 0; ; steps++ {
		if steps > 10+len(log)/3 {
			t.Fatal("the reader goes round in circles")
		}
		payload, end, err := r.Next()
		if end != r.End() {
			t.Fatalf("Next returned end %d, End returns %d", end, r.End())
		}
		if bound := max(offset, int64(len(log))); end > bound || limit >= 0 && end > max(limit, offset) {
			t.Fatalf("end %d, limit %d, log of %d bytes", end, limit, len(log))
		}
		if end < o.end || err == nil && end < o.end+7 || err != nil && end != o.end {
			t.Fatalf("end went from %d to %d: %v", o.end, end, err)
		}
		o.end = end
		var c *format.Corruption
		switch {
		case err == nil:
			if r.Torn() {
				t.Fatal("torn before the end")
			}
			o.records, o.ends = append(o.records, bytes.Clone(payload)), append(o.ends, end)
			continue
		case errors.As(err, &c):
			if c.Offset < offset || c.Offset <= damagedAt || c.File != "test.log" {
				t.Fatalf("%v, after damage at %d", c, damagedAt)
			}
			damagedAt = c.Offset
			o.damage = append(o.damage, c)
			continue
		case err != io.EOF:
			t.Fatal(err)
		}
		if _, again, err := r.Next(); err != io.EOF || again != end {
			t.Fatalf("after io.EOF: %d, %v", again, err)
		}
		o.torn = r.Torn()
		behind := log
		if limit >= 0 {
			behind = log[:min(limit, int64(len(log)))]
		}
		behind = behind[min(end, int64(len(behind))):]
		if zeros := len(bytes.Trim(behind, "\x00")) == 0; zeros == o.torn {
			t.Fatalf("torn %v, zeros behind the end %v", o.torn, zeros)
		}
		return o
	}
}

// payload returns n bytes that tell a misplaced piece.
func payload(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + n)
	}
	return b
}

// logOf returns a log of payloads of these lengths, and where each ends.
func logOf(lengths ...int) (log []byte, ends []int64) {
	for _, n := range lengths {
		log = wal.AppendRecord(log, int64(len(log)), payload(n))
		ends = append(ends, int64(len(log)))
	}
	return log, ends
}
