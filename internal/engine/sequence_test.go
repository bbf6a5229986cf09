package engine

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/levelparty/party/internal/format"
)

// Property: the last sequence number is that of the last whole record, wherever
// the log was cut off and however large its records are.
func TestSequenceOfTornLogs(t *testing.T) {
	dir := t.TempDir()
	f, err := Lock(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Open(f, Config{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		size := 100
		if i%500 == 499 {
			size = 200 << 10 // over several blocks
		}
		if err := e.Write(format.AppendPut(nil, fmt.Appendf(nil, "%06d", i), bytes.Repeat([]byte("v"), size)), false); err != nil {
			t.Fatal(err)
		}
	}
	want, err := e.LastSequence()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Sequence(dir); err != nil || got != want {
		t.Fatalf("whole log: %d, %v, want %d", got, err, want)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) != 1 {
		t.Fatal(logs, err)
	}
	whole, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for cut := len(whole); cut > 0; cut -= 9973 {
		if err := os.WriteFile(logs[0], whole[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		want := uint64(0)
		if err := eachRecord(logs[0], func(b []byte) error {
			want = batchSeq(b) + batchLen(b) - 1
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if got, err := Sequence(dir); err != nil || got != want {
			t.Errorf("cut at %d: %d, %v, want %d", cut, got, err, want)
		}
	}
}
