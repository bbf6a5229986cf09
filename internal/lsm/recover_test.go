package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/manifest"
	"github.com/levelparty/party/internal/format/wal"
)

func putRecord(key, value string) []byte { return format.AppendPut(nil, []byte(key), []byte(value)) }
func delRecord(key string) []byte        { return format.AppendDelete(nil, []byte(key)) }

// logBatch is a record of a log.
type logBatch struct {
	seq     format.SeqNum
	records [][]byte
}

func batchAt(seq format.SeqNum, records ...[]byte) logBatch { return logBatch{seq, records} }

// writeLogFile makes a log of batches.
func writeLogFile(t *testing.T, dir string, num format.FileNum, batches ...logBatch) {
	t.Helper()
	var b []byte
	for _, batch := range batches {
		payload := format.AppendBatchHeader(nil, batch.seq, len(batch.records))
		b = wal.AppendRecord(b, int64(len(b)), append(payload, bytes.Join(batch.records, nil)...))
	}
	if err := os.WriteFile(filepath.Join(dir, format.LogName(num)), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, db *DB, records ...[]byte) {
	t.Helper()
	if _, err := db.Write(context.Background(), bytes.Join(records, nil), len(records), nil); err != nil {
		t.Fatal(err)
	}
}

// filesOf returns the files of a directory and what is in them.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(b)
	}
	return files
}

// inTables leaves a directory whose n entries are all in tables, and returns
// the number of its empty log. The manifest's sequence number is n.
func inTables(t *testing.T, dir string, n int) (log format.FileNum) {
	t.Helper()
	db := openPrivate(t, dir, Config{})
	for i := range n {
		write(t, db, putRecord(fmt.Sprint("old", i), "old"))
	}
	if err := db.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	log = db.ctl.State().Log
	shut(t, db)
	return log
}

// Property: no write of a log is dropped because its number is below the
// manifest's, as C++ LevelDB leaves it when it is killed after a compaction;
// later writes win, those of logs and those to come.
func TestLogsBelowManifest(t *testing.T) {
	dir := t.TempDir()
	log := inTables(t, dir, 500)
	writeLogFile(t, dir, log,
		batchAt(400, putRecord("old1", "new"), putRecord("a", "1")),
		batchAt(402, delRecord("old2")),
		batchAt(403, putRecord("a", "2")))
	writeLogFile(t, dir, log+50, batchAt(404, putRecord("b", "3")), batchAt(405, putRecord("a", "4")))

	want := make(map[string]string)
	for i := range 500 {
		want[fmt.Sprint("old", i)] = "old"
	}
	want["old1"], want["a"], want["b"] = "new", "4", "3"
	delete(want, "old2")
	for _, readOnly := range []bool{true, false, false, true} {
		db := openPrivate(t, dir, Config{ReadOnly: readOnly})
		if got := dump(t, db, nil); !maps.Equal(got, want) {
			t.Errorf("read only %v: %d entries, want %d; a is %q", readOnly, len(got), len(want), got["a"])
		}
		if seq := db.LastSequence(); seq < 500 {
			t.Errorf("read only %v: last sequence %d", readOnly, seq)
		}
		if !readOnly {
			key := fmt.Sprint("old", len(want))
			write(t, db, putRecord("a", key), putRecord(key, "later"))
			want["a"], want[key] = key, "later"
		}
		shut(t, db)
	}
}

// Property: an open for reading reads all logs and changes no file.
func TestReadOnlyChangesNothing(t *testing.T) {
	dir := t.TempDir()
	log := inTables(t, dir, 10)
	writeLogFile(t, dir, log, batchAt(11, putRecord("old1", "1"), putRecord("a", "1")))
	writeLogFile(t, dir, log+1, batchAt(13, putRecord("a", "2")), batchAt(14, putRecord("b", "2")))
	writeLogFile(t, dir, log+2, batchAt(15, delRecord("old2")), batchAt(16, putRecord("torn", "torn")))
	last := filepath.Join(dir, format.LogName(log+2))
	info, err := os.Stat(last)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(last, info.Size()-1); err != nil {
		t.Fatal(err)
	}
	before := filesOf(t, dir)
	db := openPrivate(t, dir, Config{ReadOnly: true})
	got := dump(t, db, nil)
	if len(got) != 11 || got["old1"] != "1" || got["a"] != "2" || got["b"] != "2" || db.LastSequence() != 15 {
		t.Errorf("%v, sequence %d", got, db.LastSequence())
	}
	if _, err := db.Write(context.Background(), putRecord("a", "3"), 1, nil); !errors.Is(err, ErrReadOnly) {
		t.Errorf("write: %v, want ErrReadOnly", err)
	}
	shut(t, db)
	if !maps.Equal(filesOf(t, dir), before) {
		t.Error("the files have changed")
	}
}

// Property: what CURRENT names has to be a manifest.
func TestDamagedCurrent(t *testing.T) {
	for name, current := range map[string]string{
		"missing": "MANIFEST-000099\n", "garbage": "x\n", "empty": "", "cut": "MANIFEST-00000", "empty manifest": "MANIFEST-000001\n",
		"no manifest": "MANIFEST-000002\n",
	} {
		dir := t.TempDir()
		for file, contents := range map[string]string{"CURRENT": current, "MANIFEST-000001": "", "MANIFEST-000002": "nonsense"} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(contents), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		before := filesOf(t, dir)
		for _, readOnly := range []bool{true, false} {
			_, err := Open(Config{Dir: dir, Control: coord.Private(), Private: true, First: true, ReadOnly: readOnly})
			if !errors.Is(err, ErrCorrupted) {
				t.Errorf("%s: %v, want ErrCorrupted", name, err)
			}
		}
		if !maps.Equal(filesOf(t, dir), before) {
			t.Errorf("%s: the files have changed", name)
		}
	}
}

// Property: wherever a log was cut off, and however large its records are, all
// whole records are there, and the next write gets the number behind them.
func TestTornLogs(t *testing.T) {
	dir := t.TempDir()
	log := inTables(t, dir, 0)
	var batches []logBatch
	var ends []int64 // of each record
	end := int64(0)
	for i := range 300 {
		size := 100
		if i%50 == 49 {
			size = 200 << 10 // over several blocks
		}
		b := batchAt(format.SeqNum(2*i+1), putRecord(fmt.Sprint(i), string(bytes.Repeat([]byte("v"), size))), putRecord("last", fmt.Sprint(i)))
		end += wal.EncodedLen(end, format.BatchHeaderLen+len(b.records[0])+len(b.records[1]))
		batches, ends = append(batches, b), append(ends, end)
	}
	writeLogFile(t, dir, log, batches...)
	whole := filesOf(t, dir)
	name := format.LogName(log)
	if int64(len(whole[name])) != end {
		t.Fatalf("a log of %d bytes, want %d", len(whole[name]), end)
	}
	for cut := end; cut > 0; cut -= 39983 {
		want := 0
		for want < len(ends) && ends[want] <= cut {
			want++
		}
		for _, zeros := range []int64{0, 64<<10 - cut%(32<<10)} {
			copied := t.TempDir()
			for name, contents := range whole {
				if err := os.WriteFile(filepath.Join(copied, name), []byte(contents), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for _, size := range []int64{cut, cut + zeros} {
				if err := os.Truncate(filepath.Join(copied, name), size); err != nil {
					t.Fatal(err)
				}
			}
			db := openPrivate(t, copied, Config{WriteBuffer: 64 << 10})
			got := dump(t, db, nil)
			if db.LastSequence() != format.SeqNum(2*want) || len(got) != want+min(want, 1) || want > 0 && got["last"] != fmt.Sprint(want-1) {
				t.Errorf("cut at %d, %d zeros behind: %d entries up to %d, want %d", cut, zeros, len(got), db.LastSequence(), want)
			}
			write(t, db, putRecord("new", "new"))
			got["new"] = "new"
			shut(t, db)
			db = openPrivate(t, copied, Config{})
			if again := dump(t, db, nil); !maps.Equal(again, got) || db.LastSequence() != format.SeqNum(2*want+1) {
				t.Errorf("cut at %d, %d zeros behind: opened again, %d entries up to %d", cut, zeros, len(again), db.LastSequence())
			}
			shut(t, db)
		}
	}
}

// Property: the number of the last write is known before any can be given, so
// that what was applied can be told.
func TestRecoveredBeforeUse(t *testing.T) {
	dir := t.TempDir()
	log := inTables(t, dir, 10)
	writeLogFile(t, dir, log, batchAt(11, putRecord("a", "1"), putRecord("b", "1")))
	writeLogFile(t, dir, log+7, batchAt(13, putRecord("a", "2")))
	var last format.SeqNum
	var named format.FileNum
	refuse := errors.New("not now")
	before := filesOf(t, dir)
	_, err := Open(Config{Dir: dir, Control: coord.Private(), Private: true, First: true,
		Recovered: func(l format.SeqNum, m format.FileNum) error {
			last, named = l, m
			return refuse
		}})
	if !errors.Is(err, refuse) || last != 13 || string(manifest.CurrentContents(named)) != before["CURRENT"] {
		t.Errorf("%v, last %d, manifest %d", err, last, named)
	}
	if !maps.Equal(filesOf(t, dir), before) {
		t.Error("the files have changed")
	}
}
