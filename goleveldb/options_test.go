package goleveldb_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/comparer"
	leveldberrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/levelparty/party"
	"github.com/levelparty/party/goleveldb"
	"github.com/levelparty/party/internal/dbtest"
)

func TestPartyOptions(t *testing.T) {
	for _, c := range []struct {
		name string
		o    *opt.Options
		want party.Options
	}{
		{"nil", nil, party.Options{}},
		{"zero", &opt.Options{}, party.Options{}},
		{"opening", &opt.Options{ReadOnly: true, ErrorIfMissing: true, ErrorIfExist: true},
			party.Options{ReadOnly: true, MustExist: true, MustNotExist: true}},
		{"sizes", &opt.Options{BlockCacheCapacity: 1, WriteBuffer: 2, OpenFilesCacheCapacity: 3},
			party.Options{Cache: 1, WriteBuffer: 2, MaxOpenFiles: 3}},
		{"none", &opt.Options{BlockCacheCapacity: -1, WriteBuffer: -1, OpenFilesCacheCapacity: -1},
			party.Options{Cache: -1, MaxOpenFiles: 1}},
		{"no cachers", &opt.Options{BlockCacher: opt.NoCacher, OpenFilesCacher: opt.NoCacher},
			party.Options{Cache: -1, MaxOpenFiles: 1}},
		{"no block cache", &opt.Options{BlockCacheCapacity: 5, DisableBlockCache: true}, party.Options{Cache: -1}},
		{"no compression", &opt.Options{Compression: opt.NoCompression}, party.Options{Compression: party.NoCompression}},
		{"snappy", &opt.Options{Compression: opt.SnappyCompression}, party.Options{}},
		{"bloom filter", &opt.Options{Filter: filter.NewBloomFilter(10)}, party.Options{BloomBits: 10}},
		{"bloom filter of 1", &opt.Options{Filter: filter.NewBloomFilter(1)}, party.Options{BloomBits: 1}},
		{"bloom filter of 33", &opt.Options{Filter: filter.NewBloomFilter(33)}, party.Options{BloomBits: 33}},
		{"another filter", &opt.Options{Filter: renamed{filter.NewBloomFilter(10)}}, party.Options{}},
		{"default comparer", &opt.Options{Comparer: comparer.DefaultComparer}, party.Options{}},
		{"ignored", &opt.Options{NoWriteMerge: true, BlockSize: 1, Strict: opt.StrictAll, NoSync: true}, party.Options{}},
	} {
		got, err := goleveldb.PartyOptions(c.o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if fmt.Sprint(*got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, *got, c.want)
		}
	}
}

type renamed struct{ filter.Filter }

func (renamed) Name() string { return "renamed" }

// reverse is a comparer with an order of its own.
type reverse struct{ comparer.Comparer }

func (reverse) Name() string              { return "reverse" }
func (r reverse) Compare(a, b []byte) int { return -r.Comparer.Compare(a, b) }

func TestOtherComparer(t *testing.T) {
	o := &opt.Options{Comparer: reverse{comparer.DefaultComparer}}
	dir := filepath.Join(t.TempDir(), "db")
	for name, open := range map[string]func(string, *opt.Options) (*goleveldb.DB, error){
		"OpenFile": goleveldb.OpenFile, "RecoverFile": goleveldb.RecoverFile,
	} {
		if _, err := open(dir, o); !errors.Is(err, party.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("a refused open left something: %v", err)
	}
}

// Property: opening says the same as goleveldb's, with a leader and without.
func TestOpenErrors(t *testing.T) {
	made := t.TempDir()
	if db, err := leveldb.OpenFile(made, nil); err != nil {
		t.Fatal(err)
	} else if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	led := dbtest.Dir(t)
	open(t, led, nil)
	for i := range 8 {
		o := &opt.Options{ReadOnly: i&1 > 0, ErrorIfMissing: i&2 > 0, ErrorIfExist: i&4 > 0}
		for _, exists := range []bool{false, true} {
			model := filepath.Join(t.TempDir(), "model")
			if exists {
				model = made
			}
			db, want := leveldb.OpenFile(model, o)
			if want == nil {
				db.Close()
			}
			dirs := []string{filepath.Join(t.TempDir(), "ours")}
			if exists {
				dirs = []string{made, led}
			}
			for _, dir := range dirs {
				db, err := goleveldb.OpenFile(dir, o)
				if err == nil {
					if err := db.Close(); err != nil {
						t.Error(err)
					}
				}
				if (err == nil) != (want == nil) || os.IsExist(err) != os.IsExist(want) || os.IsNotExist(err) != os.IsNotExist(want) ||
					(err == os.ErrExist) != (want == os.ErrExist) {
					t.Errorf("exists %v, led %v, %v %v %v: %v, goleveldb has %v", exists, dir == led,
						o.ReadOnly, o.ErrorIfMissing, o.ErrorIfExist, err, want)
				}
			}
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := goleveldb.OpenFile(file, nil); err == nil {
		t.Error("opened a file")
	}
}

func TestReadOnly(t *testing.T) {
	dir := dbtest.Dir(t)
	db := open(t, dir, nil)
	put(t, db, "k", "v")
	check := func(what string) {
		t.Helper()
		reader := open(t, dir, &opt.Options{ReadOnly: true})
		defer reader.Close()
		if got := get(t, reader, "k"); got != "v" {
			t.Errorf("%s: got %q", what, got)
		}
		if err := reader.Put([]byte("k"), nil, nil); err != goleveldb.ErrReadOnly {
			t.Errorf("%s: put: %v, want ErrReadOnly", what, err)
		}
		if _, err := reader.OpenTransaction(); err != goleveldb.ErrReadOnly {
			t.Errorf("%s: transaction: %v, want ErrReadOnly", what, err)
		}
		if err := reader.SetReadOnly(); err != goleveldb.ErrReadOnly {
			t.Errorf("%s: SetReadOnly: %v, want ErrReadOnly", what, err)
		}
		it := reader.NewIterator(nil, nil)
		defer it.Release()
		if !it.Next() || string(it.Key()) != "k" {
			t.Errorf("%s: iterator: %v", what, it.Error())
		}
	}
	check("beside a writer")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	check("alone")
}

// Property: a program that uses goleveldb itself is told from a leader.
func TestStranger(t *testing.T) {
	dir := dbtest.Dir(t)
	stranger, err := leveldb.OpenFile(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	o, err := goleveldb.PartyOptions(&opt.Options{ErrorIfMissing: true})
	if err != nil {
		t.Fatal(err)
	}
	o.LockTimeout = 50 * time.Millisecond
	if _, err := party.Open(t.Context(), dir, o); !errors.Is(err, party.ErrLocked) {
		t.Errorf("open: %v, want ErrLocked", err)
	}
	if _, err := goleveldb.RecoverFile(dir, nil); !errors.Is(err, party.ErrLocked) {
		t.Errorf("recover: %v, want ErrLocked", err)
	}
	if err := stranger.Put([]byte("k"), []byte("v"), nil); err != nil {
		t.Error(err)
	}
	if err := stranger.Close(); err != nil {
		t.Fatal(err)
	}
	if got := get(t, open(t, dir, nil), "k"); got != "v" {
		t.Errorf("got %q, want what the stranger wrote", got)
	}
	if _, err := leveldb.OpenFile(dir, nil); err == nil {
		t.Error("goleveldb opened what is shared")
	}
}

// Property: damage is told by a type that errors.IsCorrupted knows, at opening
// and at reading, whichever process meets it.
func TestCorrupted(t *testing.T) {
	dir := t.TempDir()
	db, err := leveldb.OpenFile(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Put([]byte("k"), bytes.Repeat([]byte("v"), 5000), nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.CompactRange(util.Range{}), db.Close()); err != nil {
		t.Fatal(err)
	}
	damage(t, filepath.Join(dir, "*.ldb"))
	for i, role := range []party.Role{party.Leader, party.Guest, party.Member} {
		var db *goleveldb.DB
		switch {
		case role == party.Guest:
			db = openGuest(t, dir, nil)
		case i > 0:
			needMemory(t, dir)
			fallthrough
		default:
			db = open(t, dir, nil)
		}
		expectRole(t, db, role)
		if _, err := db.Get([]byte("k"), nil); !leveldberrors.IsCorrupted(err) {
			t.Errorf("%v: get: %T %v", role, err, err)
		}
		it := db.NewIterator(nil, nil)
		if it.Next() || !leveldberrors.IsCorrupted(it.Error()) {
			t.Errorf("%v: iterator: %T %v", role, it.Error(), it.Error())
		}
		it.Release()
		defer db.Close()
	}
}

func TestCorruptedManifest(t *testing.T) {
	dir := dbtest.Dir(t)
	db, err := leveldb.OpenFile(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Put([]byte("k"), []byte("v"), nil), db.CompactRange(util.Range{}), db.Close()); err != nil {
		t.Fatal(err)
	}
	damage(t, filepath.Join(dir, "MANIFEST-*"))
	if _, err := goleveldb.OpenFile(dir, nil); !leveldberrors.IsCorrupted(err) {
		t.Errorf("%T %v", err, err)
	}

	recovered, err := goleveldb.RecoverFile(dir, &opt.Options{ErrorIfExist: true})
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, recovered)
	if got := get(t, recovered, "k"); got != "v" {
		t.Errorf("recovered %q, want v", got)
	}
	if _, err := goleveldb.RecoverFile(dir, nil); !errors.Is(err, party.ErrLocked) {
		t.Errorf("recovery of an open database: %v, want ErrLocked", err)
	}
	if got := get(t, open(t, dir, nil), "k"); got != "v" {
		t.Errorf("a guest read %q, want v", got)
	}
	if _, err := goleveldb.RecoverFile(filepath.Join(dir, "none"), nil); !os.IsNotExist(err) {
		t.Errorf("recovery of nothing: %v", err)
	}
}

// damage overwrites the middle of the files that pattern names.
func damage(t *testing.T, pattern string) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %q, %v", pattern, names, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := len(b) / 4; i < len(b)/2; i++ {
			b[i] ^= 0x55
		}
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
