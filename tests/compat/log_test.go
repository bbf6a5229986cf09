// Package compat tests that other LevelDBs read what party leaves.
package compat

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/manifest"
	"github.com/levelparty/party/internal/format/wal"
	"github.com/levelparty/party/internal/partytest"
)

const (
	block       = wal.BlockSize
	logNum      = 3
	manifestNum = 2
)

// log is a log of batches as it is built.
type log struct {
	b       []byte
	entries []string // what a database says that recovered it
	seq     format.SeqNum
}

// put appends a batch of one put whose payload has n bytes.
func (l *log) put(n int) {
	l.seq++
	payload := batch(l.seq, n)
	_, _, records, err := format.ParseBatch(payload)
	if err != nil {
		panic(err)
	}
	r, _, err := format.NextRecord(records)
	if err != nil {
		panic(err)
	}
	l.b = wal.AppendRecord(l.b, int64(len(l.b)), payload)
	l.entries = append(l.entries, entry(r.Key, r.Value))
}

// batch returns one of n bytes with a put.
func batch(seq format.SeqNum, n int) []byte {
	key := fmt.Appendf(nil, "%04d", seq)
	for size := n; ; size-- { // the length of the length depends on it
		b := format.AppendBatchHeader(nil, seq, 1)
		b = format.AppendPut(b, key, bytes.Repeat(key[3:], max(0, size-format.BatchHeaderLen-len(key)-3)))
		if len(b) <= n {
			if len(b) < n {
				panic("no batch has this size")
			}
			return b
		}
	}
}

func entry(key, value []byte) string { return fmt.Sprintf("%s=%x", key, sha256.Sum256(value)) }

// database writes a directory that has a log, and zeros behind it.
func database(t *testing.T, log []byte, zeros int64) string {
	t.Helper()
	dir := t.TempDir()
	edit := manifest.Edit{
		HasComparator: true, Comparator: format.ComparerName,
		HasLogNumber: true, LogNumber: logNum,
		HasNextFile: true, NextFile: logNum + 1,
		HasLastSeq: true,
	}
	for name, contents := range map[string][]byte{
		manifest.CurrentName:             manifest.CurrentContents(manifestNum),
		format.ManifestName(manifestNum): wal.AppendRecord(nil, 0, edit.Append(nil)),
		format.LogName(logNum):           log,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), contents, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(filepath.Join(dir, format.LogName(logNum)), int64(len(log))+zeros); err != nil {
		t.Fatal(err)
	}
	return dir
}

// reader reads all that is in a database, and may change it. torn: the last
// write to its log was cut short.
type reader func(t *testing.T, dir string, torn bool) []string

func readGoleveldb(t *testing.T, dir string, _ bool) (entries []string) {
	t.Helper()
	db, err := leveldb.OpenFile(dir, &opt.Options{ErrorIfMissing: true, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	it := db.NewIterator(nil, nil)
	defer it.Release()
	for it.Next() {
		entries = append(entries, entry(it.Key(), it.Value()))
	}
	if err := it.Error(); err != nil {
		t.Fatal(err)
	}
	return entries
}

// readWAL reads the log alone.
func readWAL(t *testing.T, dir string, torn bool) (entries []string) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, format.LogName(logNum)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := wal.NewReader(f, f.Name(), 0, -1)
	for {
		payload, _, err := r.Next()
		if err == io.EOF {
			if r.Torn() != torn {
				t.Errorf("torn: got %v, want %v", !torn, torn)
			}
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		_, _, records, err := format.ParseBatch(payload)
		if err != nil {
			t.Fatal(err)
		}
		rec, _, err := format.NextRecord(records)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry(rec.Key, rec.Value))
	}
}

// startDump starts a process that opens databases with C++ LevelDB.
func startDump(t *testing.T) func(dir string) (entries []string, failed string) {
	_, here, _, _ := runtime.Caller(0)
	p := partytest.Node(t, filepath.Join(filepath.Dir(here), "dump.js"))
	return func(dir string) ([]string, string) {
		p.Order(dir)
		var dump struct {
			Entries []string
			Error   string
		}
		p.Expect(&dump)
		return dump.Entries, dump.Error
	}
}

// startLevelDB returns a reader that is C++ LevelDB and says nothing of what it
// drops but of a torn log.
func startLevelDB(t *testing.T) reader {
	dump := startDump(t)
	return func(t *testing.T, dir string, torn bool) []string {
		t.Helper()
		entries, failed := dump(dir)
		if failed != "" {
			t.Fatal(failed)
		}
		// Its diary tells what it dropped: of a write that was cut short.
		diary, err := os.ReadFile(filepath.Join(dir, "LOG"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(diary), fmt.Sprintf("Recovering log #%d", logNum)) {
			t.Errorf("LevelDB did not recover the log:\n%s", diary)
		}
		for line := range strings.Lines(string(diary)) {
			if strings.Contains(line, "dropping") && !torn {
				t.Errorf("LevelDB: %s", line)
			}
		}
		return entries
	}
}

// A log that was allocated ahead of its writers, in all positions of its last
// record, whole or cut short.
func TestLogAllocatedAhead(t *testing.T) {
	readers := map[string]reader{"LevelDB": startLevelDB(t), "goleveldb": readGoleveldb, "party": readWAL}
	check := func(t *testing.T, what string, log *log, zeros int64, torn bool) {
		t.Helper()
		for name, read := range readers {
			dir := database(t, log.b, zeros)
			if got := read(t, dir, torn); !slices.Equal(got, log.entries) {
				t.Errorf("%s, %d zeros behind: %s reads %d records, want %d", what, zeros, name, len(got), len(log.entries))
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		}
	}

	const size = 40 // of the last record's payload
	step := 1
	if testing.Short() {
		step = 7
	}
	// The last record begins left bytes before a block's end: it may fill the
	// block, leave a few bytes of it, be cut in two, begin with an empty
	// fragment, or begin in the next block.
	for left := 0; left <= size+7+8; left += step {
		log := new(log)
		log.put(100)
		log.put(block - left - len(log.b) - 7)
		if len(log.b) != block-left {
			t.Fatalf("the last record begins at %d", len(log.b))
		}
		log.put(size)
		end := int64(len(log.b))
		what := fmt.Sprintf("last record from %d to %d", block-left, end)
		// To a multiple of the block, as it should be, and just any.
		zeros := []int64{64<<10 - end%block, 64 << 10}
		if left%8 == 0 {
			zeros = append(zeros, 256<<10, 1<<20-end%block, 1<<20)
		}
		for _, n := range zeros {
			check(t, what, log, n, false)
		}
		// The next write was cut short.
		if left%4 == 0 || left < 16 {
			next := wal.AppendRecord(nil, end, batch(log.seq+1, 3*block/2))
			for _, cut := range []int{6, 8, 30, block - 20} {
				torn := *log
				torn.b = append(slices.Clip(log.b), next[:cut]...)
				check(t, fmt.Sprintf("%s, then %d bytes of another", what, cut), &torn, 128<<10, true)
			}
		}
	}
}

// Where LevelDB's option reuse_logs appends to a log that was allocated ahead,
// all read on, if the file ended where a block ends.
func TestLogAppendedTo(t *testing.T) {
	readers := map[string]reader{"LevelDB": startLevelDB(t), "goleveldb": readGoleveldb, "party": readWAL}
	for name, read := range readers {
		log := new(log)
		log.put(100)
		log.put(block)
		log.b = append(log.b, make([]byte, 128<<10-len(log.b))...)
		log.put(1000)
		log.put(2 * block)
		if got := read(t, database(t, log.b, 64<<10), false); !slices.Equal(got, log.entries) {
			t.Errorf("%s reads %d records, want %d", name, len(got), len(log.entries))
		}
	}
}

// A strict goleveldb, which is not its default, takes zeros for damage. Clean
// shutdown has to leave a log as long as its contents.
func TestLogAllocatedAheadStrict(t *testing.T) {
	for zeros, opens := range map[int64]bool{0: true, 64 << 10: false} {
		log := new(log)
		log.put(100)
		db, err := leveldb.OpenFile(database(t, log.b, zeros), &opt.Options{ErrorIfMissing: true, NoSync: true, Strict: opt.StrictAll})
		if (err == nil) != opens {
			t.Errorf("%d zeros behind: %v", zeros, err)
		}
		if err == nil {
			db.Close()
		}
	}
}

// Why a manifest is never allocated ahead: C++ LevelDB opens it if it ends in
// the middle of an edit, and does not if zeros follow there.
func TestManifestAllocatedAhead(t *testing.T) {
	dump := startDump(t)
	for _, c := range []struct {
		size, zeros int // of the manifest with what was cut short, 0 for without
		opens       bool
	}{
		{0, 0, true},
		{0, 2 * block, true},
		{200, 0, true},
		{200, 2 * block, false},
		{block, 0, true},
		{block, 2 * block, false},
	} {
		log := new(log)
		log.put(100)
		dir := database(t, log.b, 0)
		name := filepath.Join(dir, format.ManifestName(manifestNum))
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if c.size > 0 {
			edit := manifest.Edit{Deleted: slices.Repeat([]manifest.DeletedFile{{Level: 1, Num: 1}}, block)}
			b = wal.AppendRecord(b, int64(len(b)), edit.Append(nil))[:c.size]
		}
		if err := os.WriteFile(name, append(b, make([]byte, c.zeros)...), 0o600); err != nil {
			t.Fatal(err)
		}
		entries, failed := dump(dir)
		if (failed == "") != c.opens || c.opens && !slices.Equal(entries, log.entries) {
			t.Errorf("cut to %d bytes, %d zeros behind: %d entries, %q", c.size, c.zeros, len(entries), failed)
		}
	}
}

// The other way: what others write into the manifest when they have recovered
// a log.
func TestManifest(t *testing.T) {
	for name, read := range map[string]reader{"LevelDB": startLevelDB(t), "goleveldb": readGoleveldb} {
		log := new(log)
		for range 20 {
			log.put(1000)
		}
		dir := database(t, log.b, 0)
		if got := read(t, dir, false); !slices.Equal(got, log.entries) {
			t.Fatalf("%s reads %d records", name, len(got))
		}
		// What it made of it is a database of one table.
		current, err := os.ReadFile(filepath.Join(dir, manifest.CurrentName))
		if err != nil {
			t.Fatal(err)
		}
		n, err := manifest.ReadCurrent(current)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, format.ManifestName(n)))
		if err != nil {
			t.Fatal(err)
		}
		r := wal.NewReader(bytes.NewReader(b), "MANIFEST", 0, -1)
		added := make(map[format.FileNum]manifest.FileMeta)
		var last format.SeqNum
		for {
			payload, _, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			var e manifest.Edit
			if err := e.Decode(payload); err != nil {
				t.Fatal(err)
			}
			for _, a := range e.Added { // goleveldb adds it twice
				added[a.Num] = a.FileMeta
			}
			last = max(last, e.LastSeq)
		}
		// goleveldb counts one more.
		if len(added) != 1 || last != log.seq && last != log.seq+1 || r.Torn() {
			t.Fatalf("%s: tables %+v, last sequence %d, torn %v", name, added, last, r.Torn())
		}
		f := slices.Collect(maps.Values(added))[0]
		smallest := format.AppendInternalKey(nil, []byte("0001"), 1, format.KindPut)
		largest := format.AppendInternalKey(nil, []byte("0020"), 20, format.KindPut)
		if !bytes.Equal(f.Smallest, smallest) || !bytes.Equal(f.Largest, largest) {
			t.Errorf("%s: table from %q to %q", name, f.Smallest, f.Largest)
		}
		if info, err := os.Stat(filepath.Join(dir, format.TableName(f.Num))); err != nil || info.Size() != int64(f.Size) {
			t.Errorf("%s: table %d of %d bytes: %v, %v", name, f.Num, f.Size, info, err)
		}
	}
}
