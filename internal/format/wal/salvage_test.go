package wal_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/levelparty/party/internal/format/wal"
	"github.com/levelparty/party/internal/partytest"
)

// salvage returns the records that Salvage finds, and the bytes it calls lost.
// Records and lost runs must be in order and must not overlap.
func salvage(t testing.TB, log []byte) (records [][]byte, lost int64) {
	t.Helper()
	at := int64(0)
	step := func(begin, end int64) {
		if begin < at || end <= begin || end > int64(len(log)) {
			t.Fatalf("%d to %d, behind %d, of %d", begin, end, at, len(log))
		}
		at = end
	}
	err := wal.Salvage(bytes.NewReader(log), func(s wal.Salvaged) error {
		step(s.Begin, s.End)
		records = append(records, bytes.Clone(s.Payload))
		return nil
	}, func(begin, end int64, reason string) {
		step(begin, end)
		lost += end - begin
	})
	if err != nil {
		t.Fatal(err)
	}
	return records, lost
}

// Property: of a log in which one byte is another, all records are found but the
// one that has it.
func TestSalvage(t *testing.T) {
	rnd := partytest.Random(t)
	for range 300 {
		var log []byte
		var records [][]byte
		var ends []int64
		for range 1 + rnd.IntN(60) {
			size := rnd.IntN(300)
			if rnd.IntN(10) == 0 {
				size = rnd.IntN(3 * wal.BlockSize)
			}
			r := make([]byte, size)
			for i := range r {
				r[i] = byte(rnd.Uint32())
			}
			log = wal.AppendRecord(log, int64(len(log)), r)
			records, ends = append(records, r), append(ends, int64(len(log)))
		}
		if rnd.IntN(2) == 0 {
			log = append(log, make([]byte, rnd.IntN(2*wal.BlockSize))...)
		}
		if got, lost := salvage(t, log); len(got) != len(records) || lost != 0 {
			t.Fatalf("%d records, want %d; %d bytes lost", len(got), len(records), lost)
		}
		at := rnd.Int64N(ends[len(ends)-1])
		log[at] ^= byte(1 + rnd.IntN(255))
		hit := 0
		for ends[hit] <= at {
			hit++
		}
		got, _ := salvage(t, log)
		want := append(append([][]byte{}, records[:hit]...), records[hit+1:]...)
		if len(got) == len(records) {
			want = records // only what fills the end of a block was hit
			if bytes.Equal(log[at:at+1], []byte{0}) {
				t.Fatal("nothing was hit")
			}
		}
		if fmt.Sprintf("%x", got) != fmt.Sprintf("%x", want) {
			t.Fatalf("byte %d, in record %d: %d records, want %d", at, hit, len(got), len(want))
		}
	}
}

// Salvage finds at least what Reader does, in whatever bytes.
func FuzzSalvage(f *testing.F) {
	log := wal.AppendRecord(nil, 0, []byte("one"))
	log = wal.AppendRecord(log, int64(len(log)), make([]byte, wal.BlockSize))
	f.Add(wal.AppendRecord(log, int64(len(log)), []byte("three")), 0, byte(0))
	f.Add(log, 12, byte(7))
	f.Fuzz(func(t *testing.T, log []byte, at int, flip byte) {
		if len(log) > 0 {
			log[uint(at)%uint(len(log))] ^= flip
		}
		found, _ := salvage(t, log)
		r := wal.NewReader(bytes.NewReader(log), "log", 0, -1)
		for {
			payload, _, err := r.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				continue
			}
			for len(found) > 0 && !bytes.Equal(found[0], payload) {
				found = found[1:]
			}
			if len(found) == 0 {
				t.Fatalf("record of %d bytes was not found", len(payload))
			}
			found = found[1:]
		}
	})
}
