package compat

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/partytest"
)

// Property: what any engine leaves, killed or not, is sound; damaged in any way
// and repaired, all engines open it and find the same; where no data was damaged
// that is everything. A killed engine can leave tables that no level has; without
// the manifest they count, and bring back what was deleted.
func TestRepair(t *testing.T) {
	rnd := partytest.Random(t)
	dump := startDump(t)
	ctx := context.Background()
	flip := func(b []byte) []byte {
		b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
		return b
	}
	cut := func(b []byte) []byte { return b[:rnd.IntN(len(b))] }
	empty := func([]byte) []byte { return nil }
	garbage := func(b []byte) []byte { return bytes.Repeat([]byte{7, 'x', 0}, 1+len(b)/3) }
	missing := func([]byte) []byte { return []byte("missing") }
	damages := []struct {
		name, pattern string
		how           func([]byte) []byte
		data          bool
	}{
		{"no CURRENT", "CURRENT", missing, false},
		{"empty CURRENT", "CURRENT", empty, false},
		{"no manifest", "MANIFEST-*", missing, false},
		{"empty manifest", "MANIFEST-*", empty, false},
		{"torn manifest", "MANIFEST-*", cut, false},
		{"garbage manifest", "MANIFEST-*", garbage, false},
		{"flip in the manifest", "MANIFEST-*", flip, false},
		{"flip in a table", "*.ldb", flip, true},
		{"torn table", "*.ldb", cut, true},
		{"empty table", "*.ldb", empty, true},
		{"garbage table", "*.ldb", garbage, true},
		{"no table", "*.ldb", missing, true},
		{"flip in a log", "*.log", flip, true},
		{"torn log", "*.log", cut, true},
		{"garbage log", "*.log", garbage, true},
	}
	for _, engine := range []string{our, cpp, gdb} {
		dir := t.TempDir()
		kill := rnd.IntN(2) == 0
		n := run(t, engine, dir, 0, 600+rnd.IntN(1500), []string{"snappy", noSnappy}[rnd.IntN(2)], kill)
		check := func(when, dir string) party.CheckReport {
			t.Helper()
			r, err := party.Check(ctx, dir)
			if err == nil {
				err = r.Err()
			}
			if err != nil {
				t.Fatalf("%s, %s: %v", engine, when, err)
			}
			return r
		}
		left := check("left", dir)
		strays := slices.ContainsFunc(left.Notes, func(f party.Fault) bool { return strings.HasSuffix(f.File, ".ldb") })
		all := readParty(t, copyOf(t, dir), true)
		if !slices.Equal(all, after(n)) && !(kill && slices.Equal(all, after(n+1))) {
			t.Fatalf("%s: %d entries", engine, len(all))
		}
		history := make(map[string]bool)
		for i := range n + 1 {
			operate(recorder(history), i)
		}
		for _, d := range damages {
			what := fmt.Sprintf("%s, killed %v, %s", engine, kill, d.name)
			damaged := copyOf(t, dir)
			files, err := filepath.Glob(filepath.Join(damaged, d.pattern))
			if err != nil {
				t.Fatal(err)
			}
			if len(files) == 0 {
				continue
			}
			path := files[rnd.IntN(len(files))]
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(b) == 0 {
				continue
			}
			if b = d.how(b); string(b) == "missing" {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, b, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			before := copyOf(t, damaged)
			r, err := party.Repair(ctx, damaged, nil)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			check(what, damaged)
			entries, failed := dump(copyOf(t, damaged))
			if failed != "" {
				t.Fatalf("%s: LevelDB: %s", what, failed)
			}
			theirs := readGoleveldb(t, copyOf(t, damaged), false)
			ours := readParty(t, damaged, false)
			check(what+", opened", damaged)
			if r.Sound {
				theirs = ours // of a sound database goleveldb may drop a part, see TestRelay
			}
			if !slices.Equal(entries, ours) || !slices.Equal(theirs, ours) {
				t.Fatalf("%s, damaged %s: LevelDB finds %d entries, goleveldb %d, party %d", what, before, len(entries), len(theirs), len(ours))
			}
			if !d.data && !strays && !slices.Equal(ours, all) {
				t.Fatalf("%s, damaged %s: %d entries, want %d; first difference at %d\n%+v",
					what, before, len(ours), len(all), difference(ours, all), r)
			}
			for _, e := range ours {
				if !history[e] {
					t.Fatalf("%s: %s was never written", what, e)
				}
			}
			if len(ours) == 0 && len(all) > 100 && !strings.HasSuffix(d.pattern, ".ldb") {
				t.Errorf("%s: nothing is left\n%+v", what, r)
			}
		}
	}
}

// recorder notes all that is ever written.
type recorder map[string]bool

func (r recorder) Put(key, value []byte) { r[entry(key, value)] = true }
func (r recorder) Delete([]byte)         {}
