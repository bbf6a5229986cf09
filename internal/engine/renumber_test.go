package engine

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/syndtr/goleveldb/leveldb"

	"github.com/levelparty/party/internal/format"
)

func batch(seq uint64, records ...[]byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, seq)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(records)))
	for _, r := range records {
		b = append(b, r...)
	}
	return b
}

// Property: no write of a log is dropped because its number is below the
// manifest's, as C++ LevelDB leaves it when it is killed after a compaction;
// and later writes still win.
func TestLogBelowManifest(t *testing.T) {
	dir := t.TempDir()
	db, err := leveldb.OpenFile(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Bring the manifest's number to some hundreds.
	for i := range 500 {
		if err := db.Put(fmt.Appendf(nil, "old%d", i), []byte("old"), nil); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	if db, err = leveldb.OpenFile(dir, nil); err != nil {
		t.Fatal(err)
	}
	db.Close()
	current, err := Current(dir)
	if err != nil {
		t.Fatal(err)
	}
	seq, oldest, err := manifestState(filepath.Join(dir, current))
	if err != nil || seq < 500 {
		t.Fatalf("manifest at %d, %v", seq, err)
	}
	// A log that began earlier.
	put := func(k, v string) []byte { return format.AppendPut(nil, []byte(k), []byte(v)) }
	first, second := filepath.Join(dir, fmt.Sprintf("%06d.log", oldest)), filepath.Join(dir, fmt.Sprintf("%06d.log", oldest+50))
	if err := writeLog(first, [][]byte{
		batch(400, put("old1", "new"), put("a", "1")),
		batch(402, format.AppendDelete(nil, []byte("old2"))),
		batch(403, put("a", "2")),
	}); err != nil {
		t.Fatal(err)
	}
	if err := writeLog(second, [][]byte{batch(404, put("b", "3")), batch(405, put("a", "4"))}); err != nil {
		t.Fatal(err)
	}

	if err := renumberLogs(dir, true); err == nil {
		t.Error("read only: no error")
	}
	f, err := Lock(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Open(f, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for key, want := range map[string]string{"old1": "new", "a": "4", "b": "3", "old3": "old"} {
		if got, err := e.Get([]byte(key), nil); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", key, got, err, want)
		}
	}
	if ok, err := e.Has([]byte("old2"), nil); ok || err != nil {
		t.Errorf("old2: %v, %v; want it deleted", ok, err)
	}
}

func TestRenumberLeavesGoodLogsAlone(t *testing.T) {
	dir := t.TempDir()
	f, err := Lock(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Open(f, Config{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := e.Write(format.AppendPut(nil, fmt.Appendf(nil, "%d", i), nil), false); err != nil {
			t.Fatal(err)
		}
	}
	e.Close()
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) != 1 {
		t.Fatal(logs, err)
	}
	before, err := os.Stat(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := renumberLogs(dir, false); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(logs[0])
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the log was replaced: %v", err)
	}
}

func FuzzManifestState(f *testing.F) {
	f.Add([]byte{4, 5, 2, 3})
	f.Fuzz(func(t *testing.T, edit []byte) {
		path := filepath.Join(t.TempDir(), "MANIFEST")
		if err := writeLog(path, [][]byte{edit}); err != nil {
			t.Fatal(err)
		}
		manifestState(path) // must return
	})
}
