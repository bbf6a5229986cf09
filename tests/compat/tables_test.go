package compat

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/dbtest"
)

// Property: each engine reads the tables of the others, compressed and not,
// under the new names and under those that LevelDB had before 1.14; and what
// party makes of them when it has written them all anew the others read.
func TestTables(t *testing.T) {
	dump := startDump(t)
	for _, engine := range []string{our, cpp, gdb} {
		for _, compression := range []string{"snappy", noSnappy} {
			for _, old := range []bool{false, true} {
				t.Run(fmt.Sprint(engine, " ", compression, " old names ", old), func(t *testing.T) {
					dir := dbtest.Dir(t)
					want := after(run(t, engine, dir, 0, 1500, compression, false))
					n := 0
					for _, name := range tables(t, dir) {
						if n++; old {
							if err := os.Rename(name, strings.TrimSuffix(name, ".ldb")+".sst"); err != nil {
								t.Fatal(err)
							}
						}
					}
					if n == 0 {
						t.Fatal("no tables")
					}
					read := func(who string, got []string) {
						t.Helper()
						if !slices.Equal(got, want) {
							t.Fatalf("%s: %d entries, want %d", who, len(got), len(want))
						}
					}
					read("party, read-only", readParty(t, dir, true))
					entries, failed := dump(copyOf(t, dir))
					if failed != "" {
						t.Fatal(failed)
					}
					read("LevelDB", entries)
					if engine != cpp {
						// It drops writes of logs that C++ LevelDB has left.
						read("goleveldb", readGoleveldb(t, copyOf(t, dir), false))
					}
					compactAll(t, dir)
					read("party", readParty(t, dir, false))
					read("goleveldb after party", readGoleveldb(t, copyOf(t, dir), false))
					if entries, failed = dump(dir); failed != "" {
						t.Fatal(failed)
					}
					read("LevelDB after party", entries)
				})
			}
		}
	}
}

// tables returns the tables of a directory with names as they are now.
func tables(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.ldb"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// compactAll has party write all tables anew, and waits until those of before
// are gone.
func compactAll(t *testing.T, dir string) {
	t.Helper()
	ctx := context.Background()
	db, err := party.Open(ctx, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.CompactRange(ctx, party.Range{}); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		st, err := db.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		told := 0
		for _, l := range st.Levels {
			told += l.Tables
		}
		old, err := filepath.Glob(filepath.Join(dir, "*.sst"))
		if err != nil {
			t.Fatal(err)
		}
		if have := tables(t, dir); len(old) == 0 && len(have) == told {
			break
		} else if time.Since(start) > 10*time.Second {
			t.Fatalf("%d tables, and %d are left of before: %v %v", told, len(have)+len(old)-told, have, old)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// Property: a table that goleveldb tells of twice in one manifest, as it does
// of those that it makes of a log, is there once, and gone when it was deleted.
func TestTableToldTwice(t *testing.T) {
	dir := dbtest.Dir(t)
	open := func() *leveldb.DB {
		db, err := leveldb.OpenFile(dir, &opt.Options{NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open()
	if err := db.Put([]byte("k"), []byte("old"), nil); err != nil {
		t.Fatal(err)
	}
	db.Close()
	db = open() // makes a table of it
	db.Close()
	ctx := context.Background()
	for _, want := range []string{"old", none, none} {
		p, err := party.Open(ctx, dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		if st, err := p.Status(ctx); err != nil || want == "old" && st.Levels[0].Tables != 1 {
			t.Errorf("levels %v, %v, want one table in the first", st.Levels, err)
		}
		got, err := p.Get(ctx, []byte("k"))
		if errors.Is(err, party.ErrNotFound) {
			got, err = []byte(none), nil
		}
		if string(got) != want || err != nil {
			t.Errorf("k is %q, %v; want %q", got, err, want)
		}
		if err := p.Delete(ctx, []byte("k")); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		compactAll(t, dir)
	}
}

const none = "(none)"

// Property: a table that is missing is damage, said when the database is
// opened: what is left of it must not be taken for all there is.
func TestMissingTable(t *testing.T) {
	dump := startDump(t)
	dir := dbtest.Dir(t)
	run(t, our, dir, 0, 1500, "snappy", false)
	compactAll(t, dir)
	for _, name := range tables(t, dir) {
		damaged := copyOf(t, dir)
		if err := os.Remove(filepath.Join(damaged, filepath.Base(name))); err != nil {
			t.Fatal(err)
		}
		before := len(tables(t, damaged))
		if _, failed := dump(copyOf(t, damaged)); !strings.Contains(failed, "missing files") {
			t.Errorf("LevelDB: %s", failed)
		}
		for _, readOnly := range []bool{true, false} {
			db, err := party.Open(context.Background(), damaged, &party.Options{ReadOnly: readOnly})
			if err == nil {
				db.Close()
			}
			if !isCorrupted(err) {
				t.Errorf("without %s, read-only %v: %v, want ErrCorrupted", filepath.Base(name), readOnly, err)
			}
		}
		if n := len(tables(t, damaged)); n != before {
			t.Errorf("%d tables are left, of %d", n, before)
		}
	}
}
