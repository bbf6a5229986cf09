package lsm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/manifest"
	"github.com/levelparty/party/internal/format/sstable"
	"github.com/levelparty/party/internal/format/wal"
	"github.com/levelparty/party/internal/partytest"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/vfs"
)

// soundly fails the test if the database in dir has a problem.
func soundly(t testing.TB, dir string) *CheckReport {
	t.Helper()
	r, err := Check(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		t.Error("check:", p)
	}
	return r
}

// fill makes a database with tables in several levels and something in the log.
func fill(t testing.TB, dir string, rnd *rand.Rand, c Config) {
	t.Helper()
	c.WriteBuffer = 64 << 10
	ctx := context.Background()
	db := openPrivate(t, dir, c)
	for range 6000 {
		var records []byte
		count := 1 + rnd.IntN(3)
		for range count {
			key := fmt.Appendf(nil, "k%05d", rnd.IntN(20000))
			if rnd.IntN(4) == 0 {
				records = format.AppendDelete(records, key)
			} else {
				value := make([]byte, rnd.IntN(1200))
				for i := range value {
					value[i] = byte(rnd.Uint32())
				}
				records = format.AppendPut(records, key, value)
			}
		}
		if _, err := db.Write(ctx, records, count, nil); err != nil {
			t.Fatal(err)
		}
	}
	// One table in level 0, whose entries are newer than others below, and a few
	// in the log: whatever the compactions have come to by now.
	if err := db.CompactRange(ctx, store.Bounds{}); err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		if i == 2900 {
			if err := db.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.Write(ctx, format.AppendPut(nil, fmt.Appendf(nil, "k%05d", i*6), []byte("new")), 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	shut(t, db)
}

// copyDir copies the files of a database.
func copyDir(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, e.Name()), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// Property: a database that the engine has written and left is sound, and is
// left alone.
func TestCheckSound(t *testing.T) {
	dir := t.TempDir()
	if _, err := Check(context.Background(), dir); !errors.Is(err, ErrNotExist) {
		t.Errorf("an empty directory: %v", err)
	}
	fill(t, dir, partytest.Random(t), Config{})
	before := filesOf(t, dir)
	r := soundly(t, dir)
	if r.Tables < 3 || r.Blocks < 50 || r.Entries < 1000 || r.Logs < 1 || r.Records == 0 || r.LastSeq < 6000 {
		t.Errorf("%+v", r)
	}
	if !maps.Equal(filesOf(t, dir), before) {
		t.Error("the files have changed")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Check(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// treeOf returns what the manifest in use says.
func treeOf(t testing.TB, dir string) *tree {
	t.Helper()
	l, err := listFiles(vfs.OS, dir)
	if err != nil {
		t.Fatal(err)
	}
	c := newChecker(context.Background(), vfs.OS, dir)
	tr, err := c.current(l)
	if err != nil || len(c.report.Problems) > 0 {
		t.Fatal(err, c.report.Problems)
	}
	return tr
}

// Property: what is damaged is found, and named.
func TestCheckDamage(t *testing.T) {
	dir := t.TempDir()
	rnd := partytest.Random(t)
	fill(t, dir, rnd, Config{Retention: -1})
	l, err := listFiles(vfs.OS, dir)
	if err != nil {
		t.Fatal(err)
	}
	tr := treeOf(t, dir)
	log, m := l.logs[tr.logNumber], tr.name
	level := 1
	for len(tr.levels[level]) < 2 {
		level++
	}
	table := format.TableName(tr.levels[level][0].Num)
	flip := func(at func(size int) int) func([]byte) []byte {
		return func(b []byte) []byte {
			b[at(len(b))] ^= 1 << rnd.IntN(8)
			return b
		}
	}
	edit := func(change func(*tree, *manifest.Edit)) func([]byte) []byte {
		return func(b []byte) []byte {
			tr, err := readTree(bytes.NewReader(b), 1, m, -1, func(int64, string) {})
			if err != nil {
				t.Fatal(err)
			}
			var e manifest.Edit
			change(tr, &e)
			return wal.AppendRecord(b[:tr.end], tr.end, e.Append(nil))
		}
	}
	sorted := func(tr *tree) (int, *file) { return level, tr.levels[level][1] }
	for _, c := range []struct {
		name, file string
		change     func([]byte) []byte // nil: removed
		want       string              // file, reason
	}{
		{"no CURRENT", currentName, nil, "CURRENT: is missing"},
		{"CURRENT is garbage", currentName, func([]byte) []byte { return []byte("x\n") }, "CURRENT, offset 0: does not name"},
		{"CURRENT names another", currentName, func([]byte) []byte { return []byte("MANIFEST-000777\n") }, "names MANIFEST-000777, which is missing"},
		{"no manifest", m, nil, "names " + m + ", which is missing"},
		{"empty manifest", m, func([]byte) []byte { return nil }, m + ", offset 0: the manifest holds no version"},
		{"flip in the manifest", m, flip(func(int) int { return 20 }), m},
		{"flip at the manifest's end", m, flip(func(size int) int { return size - 2 }), "the last edit is damaged"},
		{"no table", table, nil, table + ": is missing"},
		{"empty table", table, func([]byte) []byte { return nil }, table},
		{"truncated table", table, func(b []byte) []byte { return b[:len(b)/2] }, table},
		{"long table", table, func(b []byte) []byte { return append(b, 0) }, table},
		{"flip in a table", table, flip(func(size int) int { return rnd.IntN(size - 48) }), table},
		{"flip in a footer", table, flip(func(size int) int { return size - 1 }), table},
		{"no log", log, nil, "missing"},
		{"flip in a log", log, flip(func(size int) int { return rnd.IntN(500) }), log},
		{"a sequence number less", m, edit(func(tr *tree, e *manifest.Edit) { e.HasLastSeq, e.LastSeq = true, 1 }), "falls from"},
		{"a next file number less", m, edit(func(tr *tree, e *manifest.Edit) { e.HasNextFile, e.NextFile = true, 2 }), "yet to be given out"},
		{"a table taken twice", m, edit(func(tr *tree, e *manifest.Edit) { e.Deleted = []manifest.DeletedFile{{Level: 6, Num: 1}} }), "takes table 1 from level 6"},
		{"a table added twice", m, edit(func(tr *tree, e *manifest.Edit) {
			level, f := sorted(tr)
			e.Added = []manifest.AddedFile{{Level: level + 1, FileMeta: f.FileMeta}}
		}), "adds table"},
		{"a table that overlaps", m, edit(func(tr *tree, e *manifest.Edit) {
			level, f := sorted(tr)
			f.Smallest = tr.levels[level][0].Smallest
			e.Deleted = []manifest.DeletedFile{{Level: level, Num: f.Num}}
			e.Added = []manifest.AddedFile{{Level: level, FileMeta: f.FileMeta}}
		}), "overlap"},
		{"other bounds", m, edit(func(tr *tree, e *manifest.Edit) {
			level, f := sorted(tr)
			f.Largest = append(format.UserKey(f.Largest), "\xff\x01\x01\x00\x00\x00\x00\x00\x00"...)
			e.Deleted = []manifest.DeletedFile{{Level: level, Num: f.Num}}
			e.Added = []manifest.AddedFile{{Level: level, FileMeta: f.FileMeta}}
		}), "ends with"},
		{"a table above newer ones", m, edit(func(tr *tree, e *manifest.Edit) {
			level, f := sorted(tr)
			e.Deleted = []manifest.DeletedFile{{Level: level, Num: f.Num}}
			e.Added = []manifest.AddedFile{{Level: 0, FileMeta: f.FileMeta}}
			for _, up := range tr.levels[0] {
				e.Deleted = append(e.Deleted, manifest.DeletedFile{Level: 0, Num: up.Num})
				e.Added = append(e.Added, manifest.AddedFile{Level: level + 1, FileMeta: up.FileMeta})
				break
			}
		}), "is older than what"},
		{"a write missing", log, func(b []byte) []byte {
			r := wal.NewReader(bytes.NewReader(b), log, 0, -1)
			var out []byte
			for i := 0; ; i++ {
				p, _, err := r.Next()
				if err != nil {
					return out
				}
				if i != 2 {
					out = wal.AppendRecord(out, int64(len(out)), p)
				}
			}
		}, "are missing"},
		{"a write twice", log, func(b []byte) []byte {
			p, _, err := wal.NewReader(bytes.NewReader(b), log, 0, -1).Next()
			if err != nil {
				t.Fatal(err)
			}
			return wal.AppendRecord(b, int64(len(b)), p)
		}, "comes again"},
		{"a batch that is none", log, func(b []byte) []byte {
			return wal.AppendRecord(b, int64(len(b)), []byte("not a batch of writes"))
		}, "batch"},
	} {
		copied := copyDir(t, dir)
		path := filepath.Join(copied, c.file)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if c.change == nil {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, c.change(b), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		before := filesOf(t, copied)
		r, err := Check(context.Background(), copied)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !slices.ContainsFunc(r.Problems, func(f Fault) bool { return strings.Contains(f.String(), c.want) }) {
			t.Errorf("%s: %q, want one with %q", c.name, r.Problems, c.want)
		}
		if !maps.Equal(filesOf(t, copied), before) {
			t.Errorf("%s: the files have changed", c.name)
		}
	}
}

// Property: a database whose keys have another order is not touched.
func TestForeignOrder(t *testing.T) {
	dir := t.TempDir()
	e := manifest.Edit{HasComparator: true, Comparator: "mine", HasNextFile: true, NextFile: 3}
	for name, b := range map[string][]byte{
		currentName: manifest.CurrentContents(1), "MANIFEST-000001": wal.AppendRecord(nil, 0, e.Append(nil)), "000002.ldb": nil,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		before := filesOf(t, dir)
		if _, err := Check(context.Background(), dir); len(before) == 3 && !errors.Is(err, ErrInvalid) {
			t.Error("check:", err)
		}
		if _, err := Repair(context.Background(), RepairConfig{Dir: dir}); !errors.Is(err, ErrInvalid) {
			t.Error("repair:", err)
		}
		if !maps.Equal(filesOf(t, dir), before) {
			t.Error("the files have changed")
		}
		_ = os.Remove(filepath.Join(dir, currentName)) // then the newest manifest tells
	}
}

// Property: what is no damage is a note.
func TestCheckNotes(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, partytest.Random(t), Config{Retention: -1})
	l, err := listFiles(vfs.OS, dir)
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, l.logs[slices.Max(numbers(l.logs))])
	if info, err := os.Stat(log); err != nil || os.Truncate(log, info.Size()-1) != nil || os.Truncate(log, 1<<20) != nil {
		t.Fatal(err)
	}
	for name, contents := range map[string]string{
		"000777.ldb": "x", "000001.log": "damaged beyond repair", "MANIFEST-000778": "", "party.shm": "x", "000777.mem": "x", "000776.dbtmp": "",
		"notes.txt": "", "LOG": "", "party.once": "", "7.log": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(contents), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := soundly(t, dir)
	var named []string
	for _, n := range r.Notes {
		// A compaction that was just done may have left its inputs.
		if kind, num, ok := format.ParseFileName(n.File); !ok || kind != format.FileTable || num == 777 {
			named = append(named, n.File)
		}
	}
	slices.Sort(named)
	want := []string{"000776.dbtmp", "000777.ldb", "000777.mem", filepath.Base(log), "7.log", "MANIFEST-000778", "notes.txt", "party.shm"}
	slices.Sort(want)
	if !slices.Equal(named, want) {
		t.Errorf("notes of %q, want %q", named, want)
	}
}

// openMember opens dir as one of its members.
func openMember(t testing.TB, dir string, c Config) *DB {
	t.Helper()
	ctl, first, err := coord.Open(context.Background(), dir, coord.Config{OptionsHash: 1})
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.Dir, c.Control, c.First = dir, ctl, first
	db, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if first {
		ctl.Joined()
	}
	return db
}

func leave(t testing.TB, db *DB) {
	t.Helper()
	db.Resign()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.ctl.Leave(db.Tidy), db.Release()); err != nil {
		t.Fatal(err)
	}
}

// Property: members that write, rotate, flush and compact do not make a check
// beside them find problems.
func TestCheckLive(t *testing.T) {
	dir := t.TempDir()
	rnd := partytest.Random(t)
	leader := openMember(t, dir, Config{WriteBuffer: 64 << 10})
	if ok, err := leader.ctl.TryLead(); !ok {
		t.Fatal(err)
	}
	if err := leader.Lead(); err != nil {
		t.Fatal(err)
	}
	checker := openMember(t, dir, Config{})
	ctx, cancel := context.WithCancel(context.Background())
	var writers sync.WaitGroup
	for _, db := range []*DB{leader, openMember(t, dir, Config{WriteBuffer: 64 << 10})} {
		seed := rnd.Uint64()
		writers.Go(func() {
			defer leave(t, db)
			rnd := rand.New(rand.NewPCG(seed, 0))
			for ctx.Err() == nil {
				records := format.AppendPut(nil, fmt.Appendf(nil, "k%04d", rnd.IntN(2000)), make([]byte, rnd.IntN(200)))
				if _, err := db.Write(context.Background(), records, 1, nil); err != nil {
					t.Error(err)
					return
				}
				if rnd.IntN(20) == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	checks := 0
	for until := time.Now().Add(2 * time.Second); time.Now().Before(until) && !t.Failed(); checks++ {
		r, err := checker.Check(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range r.Problems {
			t.Error(p)
		}
		for _, n := range r.Notes {
			t.Error("note:", n)
		}
	}
	cancel()
	writers.Wait()
	t.Log(checks, "checks, up to write", checker.LastSequence())
	leave(t, checker)
	soundly(t, dir)
}

// Property: what the members' memory and files say of each other is checked.
func TestCheckLiveDamage(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(db *DB)
		want   string
	}{
		{"log cut", func(db *DB) {
			if err := os.Truncate(db.path(format.LogName(db.ctl.State().Log)), 100); err != nil {
				t.Fatal(err)
			}
		}, "before its published length"},
		{"manifest cut", func(db *DB) {
			if err := os.Truncate(db.path(format.ManifestName(db.ctl.State().Manifest)), 10); err != nil {
				t.Fatal(err)
			}
		}, "before its published length"},
		{"memtable", func(db *DB) {
			// A value that the log does not have.
			a := db.view.Load().mem.arena
			at := bytes.Index(a, []byte("value of k7"))
			a[at]++
		}, "is not there, or another"},
		{"memtable's count", func(db *DB) {
			a := db.view.Load().mem.arena
			for i := 0; i < 64; i += 4 {
				if binary.NativeEndian.Uint32(a[i:]) == 20 {
					a[i]++
				}
			}
		}, "counted"},
		{"CURRENT", func(db *DB) {
			if err := db.setCurrent(77); err != nil {
				t.Fatal(err)
			}
		}, "members work with"},
		{"level 0", func(db *DB) {
			st := db.ctl.State()
			st.Level0++
			db.ctl.Publish(st)
		}, "counts 1 tables"},
		{"last write", func(db *DB) {
			st := db.ctl.State()
			st.Seq += 5
			db.ctl.Publish(st)
		}, "ends with write 20, members say 25"},
	} {
		dir := t.TempDir()
		db := openMember(t, dir, Config{})
		for i := range 20 {
			write(t, db, putRecord(fmt.Sprint("k", i), fmt.Sprint("value of k", i)))
		}
		if r, err := db.Check(context.Background()); err != nil || len(r.Problems)+len(r.Notes) > 0 {
			t.Errorf("%s, before: %v, %v", c.name, r, err)
		}
		c.damage(db)
		r, err := db.Check(context.Background())
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !slices.ContainsFunc(r.Problems, func(f Fault) bool { return strings.Contains(f.String(), c.want) }) {
			t.Errorf("%s: %q, want one with %q", c.name, r.Problems, c.want)
		}
		_ = errors.Join(db.Close(), db.ctl.Close(), db.Release())
	}
}

// Property: a table whose blocks are whole, but whose entries cannot be right,
// is found out.
func TestCheckTable(t *testing.T) {
	dir := t.TempDir()
	inTables(t, dir, 10)
	tr := treeOf(t, dir)
	var b bytes.Buffer
	w := sstable.NewWriter(&b, sstable.WriterOptions{})
	key := func(i int) []byte {
		return format.AppendInternalKey(nil, fmt.Appendf(nil, "old%d", i), format.SeqNum(100+i), format.KindPut)
	}
	for i := range 10 {
		if err := w.Add(key(i), []byte("old")); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	e := manifest.Edit{HasNextFile: true, NextFile: tr.nextFile + 1, Added: []manifest.AddedFile{{FileMeta: manifest.FileMeta{Num: tr.nextFile, Size: w.Size(), Smallest: key(0), Largest: key(9)}}}}
	path := filepath.Join(dir, tr.name)
	m, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, wal.AppendRecord(m, int64(len(m)), e.Append(nil)), 0o644)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, format.TableName(tr.nextFile)), b.Bytes(), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := Check(context.Background(), dir)
	if err != nil || len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Reason, "sequence number 109") {
		t.Error(r, err)
	}
}

// Property: a table that is added to its level twice is there once, as goleveldb
// means it.
func TestTableAddedTwice(t *testing.T) {
	meta := func(num format.FileNum) manifest.FileMeta {
		key := format.AppendInternalKey(nil, []byte("k"), 1, format.KindPut)
		return manifest.FileMeta{Num: num, Size: 100, Smallest: key, Largest: key}
	}
	for level := range numLevels {
		add := &manifest.Edit{Added: []manifest.AddedFile{{Level: level, FileMeta: meta(3)}, {Level: level, FileMeta: meta(3)}}}
		gone := &manifest.Edit{Deleted: []manifest.DeletedFile{{Level: level, Num: 3}}}
		v, err := new(version).apply(nil, add)
		if err != nil || len(v.levels[level]) != 1 {
			t.Errorf("level %d: %d tables, %v", level, len(v.levels[level]), err)
			continue
		}
		if next, err := v.apply(nil, gone); err != nil || len(next.levels[level]) != 0 || len(v.levels[level]) != 1 {
			t.Errorf("level %d: taken away, %d tables, %v", level, len(next.levels[level]), err)
		}
		if v, err = new(version).apply(nil, add, gone); err != nil || len(v.levels[level]) != 0 {
			t.Errorf("level %d: taken away at once, %d tables, %v", level, len(v.levels[level]), err)
		}
	}
}
