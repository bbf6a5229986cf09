package wal_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/wal"
)

// A log of C++ LevelDB is read, and would be written, byte for byte.
func TestGolden(t *testing.T) {
	golden, err := os.ReadFile("testdata/leveldb.log")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`1: put "a" "1"`,
		fmt.Sprintf(`2: put "long" %q`, strings.Repeat("x", 33000)),
		`3: put "" "empty key"`,
		`4: delete "a"`,
		`5: put "b" "2" delete "long" put "c" ""`,
	}
	o := readAll(t, golden, 0, -1)
	if len(o.records) != len(want) || o.torn || o.damage != nil {
		t.Fatalf("got\n%v", o)
	}
	var log []byte
	for i, r := range o.records {
		log = wal.AppendRecord(log, int64(len(log)), r)
		if o.ends[i] != int64(len(log)) {
			t.Errorf("record %d ends at %d, written at %d", i, o.ends[i], len(log))
		}
		seq, count, records, err := format.ParseBatch(r)
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintf("%d:", seq)
		for ; count > 0; count-- {
			var rec format.Record
			if rec, records, err = format.NextRecord(records); err != nil {
				t.Fatal(err)
			}
			if rec.Delete {
				got += fmt.Sprintf(" delete %q", rec.Key)
			} else {
				got += fmt.Sprintf(" put %q %q", rec.Key, rec.Value)
			}
		}
		if got != want[i] || len(records) > 0 {
			t.Errorf("got  %.100s\nwant %.100s", got, want[i])
		}
	}
	if !bytes.Equal(log, golden) {
		t.Error("the same records make another log")
	}
}
