package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/sstable"
	"github.com/levelparty/party/internal/format/wal"
	"github.com/levelparty/party/internal/partytest"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/vfs"
)

// piece is a run of bytes of a file, and the entries that are lost with it.
type piece struct {
	file       string
	begin, end int64
	entries    []entryOf
}

type entryOf struct {
	ikey  string
	value string
}

// piecesOf takes a sound database apart: data blocks of tables, records of
// logs. It is what a repair is measured by.
func piecesOf(t testing.TB, dir string, needed bool) (pieces []piece) {
	t.Helper()
	tr := treeOf(t, dir)
	l, err := listFiles(vfs.OS, dir)
	if err != nil {
		t.Fatal(err)
	}
	used := tr.used()
	for _, num := range numbers(l.tables) {
		if !used[num] {
			continue
		}
		name := l.tables[num]
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		r, err := sstable.Open(bytes.NewReader(b), int64(len(b)), sstable.ReaderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		// A block begins where the offset of an entry changes.
		last := int64(-1)
		if err := r.Check(func(key, value []byte) error {
			if at := int64(r.ApproximateOffset(key)); at != last {
				if last >= 0 {
					pieces[len(pieces)-1].end = at
				}
				pieces = append(pieces, piece{file: name, begin: at})
				last = at
			}
			p := &pieces[len(pieces)-1]
			p.entries = append(p.entries, entryOf{string(key), string(value)})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		pieces[len(pieces)-1].end = int64(r.DataEnd())
	}
	for _, num := range numbers(l.logs) {
		if needed && !tr.needs(num) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, l.logs[num]))
		if err != nil {
			t.Fatal(err)
		}
		r := wal.NewReader(bytes.NewReader(b), l.logs[num], 0, -1)
		for {
			p := piece{file: l.logs[num], begin: r.End()}
			seq, _, records, err := nextBatch(r)
			if isEOF(err) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			p.end = r.End()
			for ; len(records) > 0; seq++ {
				rec, rest, err := format.NextRecord(records)
				if err != nil {
					t.Fatal(err)
				}
				records = rest
				kind := format.KindPut
				if rec.Delete {
					kind = format.KindDelete
				}
				p.entries = append(p.entries, entryOf{string(format.AppendInternalKey(nil, rec.Key, seq, kind)), string(rec.Value)})
			}
			pieces = append(pieces, p)
		}
	}
	return pieces
}

// content returns what a database holds that has these pieces.
func content(pieces []piece, lost func(piece) bool) map[string]string {
	newest := make(map[string]entryOf)
	for _, p := range pieces {
		if lost != nil && lost(p) {
			continue
		}
		for _, e := range p.entries {
			user := string(format.UserKey([]byte(e.ikey)))
			if have, ok := newest[user]; !ok || format.CompareInternal([]byte(e.ikey), []byte(have.ikey)) < 0 {
				newest[user] = e
			}
		}
	}
	m := make(map[string]string)
	for user, e := range newest {
		if format.KeyKind([]byte(e.ikey)) == format.KindPut {
			m[user] = e.value
		}
	}
	return m
}

// read returns what a database holds, without changing it.
func read(t testing.TB, dir string) map[string]string {
	t.Helper()
	db := openPrivate(t, dir, Config{ReadOnly: true})
	defer func() {
		if err := errors.Join(db.Close(), db.Release()); err != nil {
			t.Fatal(err)
		}
	}()
	return dump(t, db, nil)
}

func repair(t testing.TB, dir string) *RepairReport {
	t.Helper()
	r, err := Repair(context.Background(), RepairConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// differ tells how two contents differ.
func differ(got, want map[string]string) string {
	var missing, other, extra []string
	for k, v := range want {
		if w, ok := got[k]; !ok {
			missing = append(missing, k)
		} else if w != v {
			other = append(other, k)
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			extra = append(extra, k)
		}
	}
	short := func(s []string) string {
		slices.Sort(s)
		return fmt.Sprintf("%d %q", len(s), s[:min(len(s), 5)])
	}
	return fmt.Sprintf("%d entries, want %d; missing %s, other %s, invented %s", len(got), len(want), short(missing), short(other), short(extra))
}

// Property: a sound database is left alone.
func TestRepairSound(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, partytest.Random(t), Config{})
	before := filesOf(t, dir)
	if r := repair(t, dir); !r.Sound || len(r.Lost) > 0 {
		t.Errorf("%+v", r)
	}
	if !maps.Equal(filesOf(t, dir), before) {
		t.Error("the files have changed")
	}
}

// originals tells whether every file that is not as it was, and that mattered,
// is in lost.
func originals(t *testing.T, dir string, before map[string]string) {
	t.Helper()
	kept := make(map[string]bool)
	for _, sub := range []string{dir, filepath.Join(dir, LostName)} {
		entries, err := os.ReadDir(sub)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.Type().IsRegular() {
				b, err := os.ReadFile(filepath.Join(sub, e.Name()))
				if err != nil {
					t.Fatal(err)
				}
				kept[string(b)] = true
			}
		}
	}
	for name, contents := range before {
		if !kept[contents] {
			t.Errorf("%s is neither where it was nor in lost", name)
		}
	}
}

// Property: whatever one file suffers, all that was elsewhere is there, nothing
// is invented, and the original is kept.
func TestRepairFiles(t *testing.T) {
	dir := t.TempDir()
	rnd := partytest.Random(t)
	// No more logs than needed: what they restore is tested elsewhere.
	fill(t, dir, rnd, Config{Retention: -1})
	tr := treeOf(t, dir)
	l, err := listFiles(vfs.OS, dir)
	if err != nil {
		t.Fatal(err)
	}
	// What no level has is removed, since without a manifest it counts.
	for num, name := range l.tables {
		if !tr.used()[num] {
			os.Remove(filepath.Join(dir, name))
		}
	}
	pieces := piecesOf(t, dir, false)
	all := content(pieces, nil)
	if got := read(t, dir); !maps.Equal(got, all) {
		t.Fatal("before:", differ(got, all))
	}
	for _, name := range append(slices.Sorted(maps.Values(l.tables)), append(slices.Sorted(maps.Values(l.logs)), tr.name, currentName)...) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		cut := rnd.Int64N(int64(len(b)))
		for _, c := range []struct {
			how      string
			contents []byte // nil: none
			lost     func(p piece) bool
		}{
			{"missing", nil, func(p piece) bool { return true }},
			{"empty", []byte{}, func(p piece) bool { return true }},
			{fmt.Sprintf("truncated to %d of %d", cut, len(b)), b[:cut], func(p piece) bool { return p.end > cut }},
			{"cut short", b[:max(0, len(b)-6)], func(p piece) bool { return p.end > int64(len(b))-6 }},
			{"longer", append(slices.Clone(b), "garbage"...), func(p piece) bool { return false }},
			{"garbage", bytes.Repeat([]byte{'\x5a', 0, 77}, len(b)/3), func(p piece) bool { return true }},
			{fmt.Sprintf("zeros from %d", cut), append(slices.Clone(b[:cut]), make([]byte, len(b)-int(cut))...), func(p piece) bool { return p.end > cut }},
		} {
			copied := copyDir(t, dir)
			path := filepath.Join(copied, name)
			if c.contents == nil {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, c.contents, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			before := filesOf(t, copied)
			what := name + " " + c.how
			want := content(pieces, func(p piece) bool { return p.file == name && c.lost(p) })
			dry, err := Repair(context.Background(), RepairConfig{Dir: copied, DryRun: true})
			if err != nil {
				t.Fatal(what, err)
			}
			if !maps.Equal(filesOf(t, copied), before) {
				t.Errorf("%s: a dry run changed files", what)
			}
			r := repair(t, copied)
			if fmt.Sprint(dry.Lost) != fmt.Sprint(r.Lost) || dry.Sound != r.Sound || dry.Entries != r.Entries {
				t.Errorf("%s: a dry run said %+v, then %+v", what, dry, r)
			}
			if got := read(t, copied); !maps.Equal(got, want) {
				t.Errorf("%s: %s\n%+v", what, differ(got, want), r)
			}
			originals(t, copied, before)
			soundly(t, copied)
			if again := repair(t, copied); !again.Sound {
				t.Errorf("%s: repaired again: %+v", what, again)
			}
			if t.Failed() {
				return
			}
		}
	}
}

// Property: one flipped bit anywhere costs no more than the block or record
// that it is in.
func TestRepairFlips(t *testing.T) {
	rnd := partytest.Random(t)
	rounds := 150
	if testing.Short() {
		rounds = 30
	}
	var dir string
	var pieces []piece
	var names []string
	var files map[string]string
	for round := range rounds {
		if round%50 == 0 {
			dir = t.TempDir()
			fill(t, dir, rnd, Config{Retention: -1, NoSnappy: rnd.IntN(2) == 0, BloomBits: rnd.IntN(2)*11 - 1})
			used := treeOf(t, dir).used()
			files = filesOf(t, dir)
			names = nil
			for name := range files {
				if kind, num, ok := format.ParseFileName(name); ok && kind == format.FileTable && !used[num] {
					os.Remove(filepath.Join(dir, name))
				} else if len(files[name]) > 0 {
					names = append(names, name)
				}
			}
			slices.Sort(names)
			pieces = piecesOf(t, dir, false)
		}
		name := names[rnd.IntN(len(names))]
		at, bit := rnd.Int64N(int64(len(files[name]))), byte(1)<<rnd.IntN(8)
		if rnd.IntN(3) == 0 { // the ends are where the structure is
			at = max(0, int64(len(files[name]))-1-rnd.Int64N(200))
		}
		copied := copyDir(t, dir)
		b := []byte(files[name])
		b[at] ^= bit
		if err := os.WriteFile(filepath.Join(copied, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
		want := content(pieces, func(p piece) bool { return p.file == name && p.begin <= at && at < p.end })
		r := repair(t, copied)
		what := fmt.Sprintf("%s: %s, byte %d, bit %#x: %+v", copied, name, at, bit, r)
		if got := read(t, copied); !maps.Equal(got, want) {
			t.Fatalf("%s: %s", what, differ(got, want))
		}
		// Most of a footer is zeros that nobody reads.
		if r.Sound && strings.HasSuffix(name, ".ldb") && at < int64(len(b)-48) {
			t.Errorf("%s: not noticed", what)
		}
		soundly(t, copied)
	}
}

// Property: what a table has lost, a log that its entries came from restores.
func TestRepairFromOldLogs(t *testing.T) {
	dir := t.TempDir()
	db := openPrivate(t, dir, Config{})
	want := make(map[string]string)
	for i := range 2000 {
		k := fmt.Sprint("k", i%700)
		if i%9 == 0 {
			write(t, db, delRecord(k))
			delete(want, k)
			continue
		}
		want[k] = fmt.Sprint("value ", i)
		write(t, db, putRecord(k, want[k]))
		if i == 1200 || i == 1700 {
			if err := db.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := db.CompactRange(context.Background(), store.Bounds{}); err != nil {
		t.Fatal(err)
	}
	write(t, db, putRecord("k1", "last"))
	want["k1"] = "last"
	shut(t, db)
	tr := treeOf(t, dir)
	for _, files := range tr.levels {
		for _, f := range files {
			if err := os.Truncate(filepath.Join(dir, format.TableName(f.Num)), 100); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := repair(t, dir)
	if got := read(t, dir); !maps.Equal(got, want) || r.Logs < 2 {
		t.Errorf("%s\n%+v", differ(got, want), r)
	}
}

// Property: tables whose numbers do not tell what is newer, and tables left over
// from compactions, get in order without a manifest.
func TestRepairOrder(t *testing.T) {
	for round := range 20 {
		rnd := partytest.Random(t)
		dir := t.TempDir()
		model := make(map[string]string)
		seq := format.SeqNum(0)
		type kv struct{ key, value []byte }
		var made [][]kv
		table := func(num format.FileNum, entries []kv) {
			slices.SortFunc(entries, func(a, b kv) int { return format.CompareInternal(a.key, b.key) })
			var b bytes.Buffer
			w := sstable.NewWriter(&b, sstable.WriterOptions{})
			for _, e := range entries {
				if err := w.Add(e.key, e.value); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Finish(); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, format.TableName(num)), b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 + rnd.IntN(12) {
			var entries []kv
			from, to := rnd.IntN(300), 1+rnd.IntN(60)
			for range 1 + rnd.IntN(60) {
				seq++
				k, v := fmt.Sprintf("k%03d", from+rnd.IntN(to)), fmt.Sprint("value ", seq)
				kind := format.KindPut
				if rnd.IntN(5) == 0 {
					kind = format.KindDelete
					v = ""
					delete(model, k)
				} else {
					model[k] = v
				}
				entries = append(entries, kv{format.AppendInternalKey(nil, []byte(k), seq, kind), []byte(v)})
			}
			made = append(made, entries)
		}
		// Some are merged with each other, as a compaction would do that did
		// not come to remove its inputs.
		for range rnd.IntN(3) {
			i := rnd.IntN(len(made))
			j := i + 1 + rnd.IntN(3)
			var merged []kv
			for _, m := range made[i:min(j, len(made))] {
				for _, e := range m {
					if rnd.IntN(2) == 0 || round%2 == 0 {
						merged = append(merged, e)
					}
				}
			}
			slices.SortFunc(merged, func(a, b kv) int { return format.CompareInternal(a.key, b.key) })
			merged = slices.CompactFunc(merged, func(a, b kv) bool { return bytes.Equal(a.key, b.key) })
			if len(merged) > 0 {
				made = append(made, merged)
			}
		}
		for i, n := range rnd.Perm(len(made)) {
			table(format.FileNum(10+n), made[i])
		}
		before := filesOf(t, dir)
		r := repair(t, dir)
		if got := read(t, dir); !maps.Equal(got, model) {
			t.Fatalf("%s: %s\n%+v", dir, differ(got, model), r)
		}
		if len(r.Lost) > 0 || r.LastSeq != seq {
			t.Errorf("%+v", r)
		}
		originals(t, dir, before)
		// And all over again, after a compaction.
		db := openPrivate(t, dir, Config{})
		if err := db.CompactRange(context.Background(), store.Bounds{}); err != nil {
			t.Fatal(err)
		}
		if got := dump(t, db, nil); !maps.Equal(got, model) {
			t.Fatalf("compacted: %s", differ(got, model))
		}
		shut(t, db)
	}
}

// Property: what in a damaged log looks like a record, and is none, is not taken
// for one.
func TestRepairNestedLog(t *testing.T) {
	for _, seqs := range [][]format.SeqNum{{1}, {5}, {500}, {1000000}, {3, 4, 5}} {
		dir := t.TempDir()
		log := inTables(t, dir, 100)
		// A value that is a piece of a log.
		var nested []byte
		for _, seq := range seqs {
			payload := append(format.AppendBatchHeader(nil, seq, 1), putRecord("invented", "x")...)
			nested = wal.AppendRecord(nested, int64(len(nested)), payload)
		}
		writeLogFile(t, dir, log,
			batchAt(101, putRecord("a", "1")),
			batchAt(102, putRecord("nested", string(nested)+strings.Repeat("x", 300))),
			batchAt(103, putRecord("b", "2")))
		whole := filesOf(t, dir)[format.LogName(log)]
		begin := strings.Index(whole, "nested") - 20
		for at := begin; at < begin+40; at++ {
			copied := copyDir(t, dir)
			b := []byte(whole)
			b[at] ^= 0x81
			if err := os.WriteFile(filepath.Join(copied, format.LogName(log)), b, 0o644); err != nil {
				t.Fatal(err)
			}
			r := repair(t, copied)
			got := read(t, copied)
			if got["invented"] != "" || got["b"] != "2" || len(got) < 101 {
				t.Fatalf("%v, byte %d: %d entries, %q, %q\n%+v", seqs, at, len(got), got["invented"], got["b"], r)
			}
		}
	}
}

// Property: a repair that ends anywhere can be begun again.
func TestRepairAgain(t *testing.T) {
	dir := t.TempDir()
	rnd := partytest.Random(t)
	fill(t, dir, rnd, Config{Retention: -1})
	pieces := piecesOf(t, dir, false)
	used := treeOf(t, dir).used()
	for name := range filesOf(t, dir) {
		if kind, num, ok := format.ParseFileName(name); ok && kind == format.FileTable && !used[num] {
			os.Remove(filepath.Join(dir, name))
		}
	}
	victim := pieces[rnd.IntN(len(pieces))]
	path := filepath.Join(dir, victim.file)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[victim.begin+3] ^= 4
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	want := content(pieces, func(p piece) bool { return p.file == victim.file && p.begin == victim.begin })
	for _, manifest := range []bool{true, false} {
		for steps := 1; ; steps++ {
			copied := copyDir(t, dir)
			if !manifest {
				if err := os.Remove(filepath.Join(copied, currentName)); err != nil {
					t.Fatal(err)
				}
				for _, m := range treeNames(t, copied) {
					os.Remove(filepath.Join(copied, m))
				}
			}
			ended := false
			func() {
				defer func() {
					if v := recover(); v != nil {
						ended = true
					}
				}()
				n := 0
				repairStep = func() {
					if n++; n == steps {
						panic("killed")
					}
				}
				defer func() { repairStep = func() {} }()
				repair(t, copied)
			}()
			repair(t, copied)
			if got := read(t, copied); !maps.Equal(got, want) {
				t.Fatalf("killed at step %d: %s", steps, differ(got, want))
			}
			soundly(t, copied)
			if !ended {
				t.Log(steps, "steps")
				break
			}
		}
	}
}

func treeNames(t testing.TB, dir string) []string {
	l, err := listFiles(vfs.OS, dir)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(maps.Values(l.manifests))
}
