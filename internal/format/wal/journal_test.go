package wal_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/syndtr/goleveldb/leveldb/journal"

	"github.com/levelparty/party/internal/format/wal"
)

// writeJournal returns the log that goleveldb writes.
func writeJournal(t testing.TB, payloads [][]byte) []byte {
	t.Helper()
	var log bytes.Buffer
	w := journal.NewWriter(&log)
	for _, p := range payloads {
		one, err := w.Next()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := one.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return log.Bytes()
}

// readJournal returns the records that goleveldb finds when it opens a
// database with its usual options.
func readJournal(t testing.TB, log []byte) (records [][]byte) {
	t.Helper()
	r := journal.NewReader(bytes.NewReader(log), nil, false, true)
	for {
		one, err := r.Next()
		if err == io.EOF {
			return records
		}
		if err != nil {
			t.Fatal(err)
		}
		p, err := io.ReadAll(one)
		if err == io.ErrUnexpectedEOF {
			continue // dropped
		}
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, p)
	}
}

func TestJournal(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for round := range 200 {
		var payloads [][]byte
		var log []byte
		// goleveldb's writer forgets an empty payload at a block's end.
		for range rnd.IntN(20) {
			n := 1 + rnd.IntN(1<<rnd.IntN(18))
			if rnd.IntN(3) == 0 { // up to a block's end, or a little less or more
				left := wal.BlockSize - len(log)%wal.BlockSize
				n = max(1, left-7+rnd.IntN(20)-10)
			}
			payloads = append(payloads, payload(n))
			log = wal.AppendRecord(log, int64(len(log)), payload(n))
		}
		if theirs := writeJournal(t, payloads); !bytes.Equal(log, theirs) {
			t.Fatalf("round %d: goleveldb writes another log", round)
		}
		if got := readAll(t, log, 0, -1); !slices.EqualFunc(got.records, payloads, bytes.Equal) || got.torn || got.damage != nil {
			t.Fatalf("round %d:\n%v", round, got)
		}
		if got := readJournal(t, log); !slices.EqualFunc(got, payloads, bytes.Equal) {
			t.Fatalf("round %d: goleveldb reads %d records, want %d", round, len(got), len(payloads))
		}

		// The file is longer than its contents; the last write may be cut.
		torn := append(slices.Clip(log), wal.AppendRecord(nil, int64(len(log)), payload(50_000))...)
		torn = torn[:len(log)+rnd.IntN(50_000)]
		for _, log := range [][]byte{log, torn} {
			log = append(log, make([]byte, rnd.IntN(4*wal.BlockSize))...)
			if got := readAll(t, log, 0, -1); !slices.EqualFunc(got.records, payloads, bytes.Equal) || got.damage != nil {
				t.Fatalf("round %d, zeros behind:\n%v", round, got)
			}
			if got := readJournal(t, log); !slices.EqualFunc(got, payloads, bytes.Equal) {
				t.Fatalf("round %d, zeros behind: goleveldb reads %d records, want %d", round, len(got), len(payloads))
			}
		}
	}
}
