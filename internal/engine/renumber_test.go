package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/syndtr/goleveldb/leveldb"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/store"
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

	for _, readOnly := range []bool{true, false} {
		f, err := Lock(dir, readOnly)
		if err != nil {
			t.Fatal(err)
		}
		e, err := Open(f, Config{ReadOnly: readOnly})
		if err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]string{"old1": "new", "a": "4", "b": "3", "old3": "old"} {
			if got, err := e.Get([]byte(key), nil); err != nil || string(got) != want {
				t.Errorf("read only %v: %s: %q, %v; want %q", readOnly, key, got, err, want)
			}
		}
		if ok, err := e.Has([]byte("old2"), nil); ok || err != nil {
			t.Errorf("read only %v: old2: %v, %v; want it deleted", readOnly, ok, err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Property: an open for reading changes no file, also of a database with
// several logs.
func TestReadOnlyChangesNothing(t *testing.T) {
	dir := t.TempDir()
	f, err := Lock(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Open(f, Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Write(format.AppendPut(nil, []byte("a"), []byte("1")), false); err != nil {
		t.Fatal(err)
	}
	e.Close()
	logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	num, err := logNumber(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(dir, fmt.Sprintf("%06d.log", num+1))
	if err := writeLog(next, [][]byte{batch(100, format.AppendPut(nil, []byte("b"), []byte("2")))}); err != nil {
		t.Fatal(err)
	}
	state := func() (s string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			s += fmt.Sprintf("%s %x\n", e.Name(), b)
		}
		return s
	}
	before := state()
	if f, err = Lock(dir, true); err != nil {
		t.Fatal(err)
	}
	if e, err = Open(f, Config{ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"a": "1", "b": "2"} {
		if got, err := e.Get([]byte(key), nil); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", key, got, err)
		}
	}
	e.Close()
	if state() != before {
		t.Error("the files have changed")
	}
}

func TestDamagedCurrent(t *testing.T) {
	for name, current := range map[string]string{"missing": "MANIFEST-000099\n", "garbage": "x\n"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "CURRENT"), []byte(current), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "x"), []byte("nonsense"), 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := Lock(dir, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(f, Config{}); !errors.Is(err, store.ErrCorrupted) {
			t.Errorf("%s: %v, want ErrCorrupted", name, err)
		}
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
	if f, err = Lock(dir, true); err != nil {
		t.Fatal(err)
	}
	if e, err = Open(f, Config{ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	e.Close()
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
