package compat

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/manifest"
	"github.com/levelparty/party/internal/format/wal"
	"github.com/levelparty/party/internal/partytest"
)

func isCorrupted(err error) bool { return errors.Is(err, party.ErrCorrupted) }

// tryParty is readParty for a database that may not open.
func tryParty(t *testing.T, dir string, readOnly bool) (entries []string, err error) {
	t.Helper()
	db, err := party.Open(context.Background(), dir, &party.Options{MustExist: true, ReadOnly: readOnly})
	if err != nil {
		return nil, err
	}
	db.Close()
	return readParty(t, dir, readOnly), nil
}

// severalLogs writes a database that has nothing but three logs.
func severalLogs(t *testing.T) string {
	t.Helper()
	dir := database(t, nil, 0)
	log := new(log)
	for num := range format.FileNum(3) {
		for i := range 60 {
			log.put(100 + i*97%3000 + i%20/19*70000)
		}
		name := filepath.Join(dir, format.LogName(logNum+num))
		if err := os.WriteFile(name, log.b, 0o600); err != nil {
			t.Fatal(err)
		}
		log.b = nil
	}
	return dir
}

// damage changes a file, and says how.
func damage(t *testing.T, rnd *rand.Rand, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) == 0 {
		return "empty"
	}
	at := rnd.IntN(len(b))
	how := ""
	switch rnd.IntN(5) {
	case 0:
		how, b = "cut", b[:at]
	case 1:
		how = "one bit"
		b[at] ^= 1 << rnd.IntN(8)
	case 2:
		how = "a page of zeros"
		clear(b[at/4096*4096 : min(at/4096*4096+4096, len(b))])
	case 3:
		how = "zeros to the end"
		clear(b[at:])
	case 4:
		how = "garbage"
		for i := range b[at:min(at+1+rnd.IntN(200), len(b))] {
			b[at+i] = byte(rnd.Uint32())
		}
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return how + " in " + filepath.Base(name)
}

// Property: of damaged logs of another LevelDB (its manifest does not say all
// that ours does) as much is read as C++ LevelDB reads, nothing else,
// and it stays.
func TestDamagedLogs(t *testing.T) {
	rnd := partytest.Random(t)
	dump := startDump(t)
	whole := severalLogs(t)
	all := readParty(t, whole, true)
	if len(all) != 180 {
		t.Fatalf("%d entries", len(all))
	}
	n := 60
	if testing.Short() {
		n = 15
	}
	fewer := 0
	for range n {
		dir := copyOf(t, whole)
		how := damage(t, rnd, logs(t, dir)[rnd.IntN(3)])
		want, failed := dump(copyOf(t, dir))
		if failed != "" {
			t.Fatalf("%s: %s", how, failed)
		}
		if len(want) < len(all) {
			fewer++
		}
		for _, open := range []string{"read-only", "first", "again"} {
			got, err := tryParty(t, dir, open == "read-only")
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s, %s: %d entries, %v; LevelDB has %d; of %d", how, open, len(got), err, len(want), len(all))
			}
		}
	}
	if fewer == 0 {
		t.Error("nothing was damaged")
	}
}

// lastRecord returns where the last record of a manifest begins and ends.
func lastRecord(t *testing.T, name string) (begin, end int64) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := wal.NewReader(f, name, 0, -1)
	for {
		_, e, err := r.Next()
		if err != nil {
			return begin, end
		}
		begin, end = end, e
	}
}

func manifestOf(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, manifest.CurrentName))
	if err != nil {
		t.Fatal(err)
	}
	num, err := manifest.ReadCurrent(b)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, format.ManifestName(num))
}

// Property: a manifest whose last edit was cut short, by whom ever, opens as it
// was before that edit. The edit here adds nothing, so that all is there.
func TestTornManifest(t *testing.T) {
	dump := startDump(t)
	for _, engine := range []string{our, cpp, gdb} {
		dir := t.TempDir()
		want := after(run(t, engine, dir, 0, 700, "snappy", false))
		name := manifestOf(t, dir)
		_, end := lastRecord(t, name)
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		edit := manifest.Edit{
			HasNextFile: true, NextFile: 1 << 40,
			CompactPointers: []manifest.CompactPointer{{Level: 1, Key: format.AppendInternalKey(nil, []byte(strings.Repeat("p", 300)), 1, format.KindPut)}},
		}
		whole := wal.AppendRecord(b[:end:end], end, edit.Append(nil))
		for cut := end; cut < int64(len(whole)); cut += 37 {
			torn := copyOf(t, dir)
			if err := os.WriteFile(filepath.Join(torn, filepath.Base(name)), whole[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
			for _, readOnly := range []bool{true, false, false} {
				got, err := tryParty(t, torn, readOnly)
				if err != nil || !slices.Equal(got, want) {
					t.Fatalf("%s, manifest cut %d bytes into its last edit, read-only %v: %d entries, %v; want %d",
						engine, cut-end, readOnly, len(got), err, len(want))
				}
			}
			if got, failed := dump(torn); !slices.Equal(got, want) {
				t.Fatalf("%s, manifest cut %d bytes into its last edit, then party: LevelDB reads %d entries, %s", engine, cut-end, len(got), failed)
			}
		}
	}
}

// Property: a damaged manifest opens if C++ LevelDB opens it, with the same
// content. Else it is ErrCorrupted and left alone, unless the damage can be the
// end of an edit that a loss of power cut short, and nothing is missing.
func TestDamagedManifest(t *testing.T) {
	rnd := partytest.Random(t)
	dump := startDump(t)
	n := 40
	if testing.Short() {
		n = 10
	}
	for _, engine := range []string{our, cpp} {
		dir := t.TempDir()
		run(t, engine, dir, 0, 1000, "snappy", true)
		all := readParty(t, copyOf(t, dir), true)
		for range n {
			damaged := copyOf(t, dir)
			how := damage(t, rnd, manifestOf(t, damaged))
			want, failed := dump(copyOf(t, damaged))
			before := files(t, damaged)
			got, err := tryParty(t, damaged, true)
			if again, e := tryParty(t, damaged, false); (err == nil) != (e == nil) || !slices.Equal(got, again) {
				t.Errorf("%s, %s: read-only %d entries, %v; then %d, %v", engine, how, len(got), err, len(again), e)
			}
			switch {
			case failed == "" && (err != nil || !slices.Equal(got, want)):
				t.Errorf("%s, %s: %d entries, %v; LevelDB has %d", engine, how, len(got), err, len(want))
			case failed != "" && !isCorrupted(err) && !slices.Equal(got, all):
				t.Errorf("%s, %s: %d entries of %d, %v; LevelDB: %s", engine, how, len(got), len(all), err, failed)
			case failed != "" && err != nil && !slices.Equal(files(t, damaged), before):
				t.Errorf("%s, %s: files were changed although the database does not open", engine, how)
			}
		}
	}
}

// files returns the names of LevelDB's files in a directory.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if kind, _, ok := format.ParseFileName(e.Name()); ok && (kind == format.FileTable || kind == format.FileLog || kind == format.FileManifest) {
			names = append(names, e.Name())
		}
	}
	return names
}
