package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/partytest"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/vfs"
)

func openPrivate(t testing.TB, dir string, c Config) *DB {
	t.Helper()
	c.Dir, c.Control, c.Private, c.First = dir, coord.Private(), true, true
	db, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Lead(); err != nil {
		t.Fatal(err)
	}
	return db
}

func shut(t testing.TB, db *DB) {
	t.Helper()
	db.Resign()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Tidy(), db.Release()); err != nil {
		t.Fatal(err)
	}
	if db.fs == vfs.OS { // others lose power, and writes with it
		soundly(t, db.dir)
	}
}

// dump returns the whole content, walked forward and backward.
func dump(t testing.TB, db *DB, snap *Snapshot) map[string]string {
	t.Helper()
	m := make(map[string]string)
	var keys []string
	it := db.Iterator(store.Bounds{}, snap)
	for ok := it.First(); ok; ok = it.Next() {
		m[string(it.Key())] = string(it.Value())
		keys = append(keys, string(it.Key()))
	}
	if it.Err() != nil {
		t.Fatal(it.Err())
	}
	if !slices.IsSorted(keys) {
		t.Fatal("not in order")
	}
	for ok := it.Last(); ok; ok = it.Prev() {
		if len(keys) == 0 || keys[len(keys)-1] != string(it.Key()) || m[string(it.Key())] != string(it.Value()) {
			t.Fatalf("backward: %q %q, forward had %q", it.Key(), it.Value(), keys)
		}
		keys = keys[:len(keys)-1]
	}
	if it.Err() != nil || len(keys) != 0 {
		t.Fatal("backward:", len(keys), "entries left,", it.Err())
	}
	it.Close()
	return m
}

// What was written is there, and nothing else, over rotations, flushes,
// compactions and reopening.
func TestModel(t *testing.T) {
	rnd := partytest.Random(t)
	dir := t.TempDir()
	model := make(map[string]string)
	ctx := context.Background()
	db := openPrivate(t, dir, Config{WriteBuffer: 64 << 10})
	for range 20000 {
		switch n := rnd.IntN(1000); {
		case n == 0:
			shut(t, db)
			db = openPrivate(t, dir, Config{WriteBuffer: 64 << 10})
		case n == 1:
			if err := db.CompactRange(ctx, store.Bounds{}); err != nil {
				t.Fatal(err)
			}
		case n < 5:
			if got := dump(t, db, nil); !maps.Equal(got, model) {
				t.Fatalf("%d entries, want %d", len(got), len(model))
			}
		case n < 300:
			key := fmt.Sprint("k", rnd.IntN(3000))
			v, err := db.Get(nil, []byte(key), nil)
			want, ok := model[key]
			if ok != (err == nil) || string(v) != want {
				t.Fatalf("get %s: %q, %v, want %q", key, v, err, want)
			}
		default:
			var records []byte
			count := 1 + rnd.IntN(5)
			for range count {
				key := fmt.Sprint("k", rnd.IntN(3000))
				if rnd.IntN(3) == 0 {
					records = format.AppendDelete(records, []byte(key))
					delete(model, key)
				} else {
					value := bytes.Repeat([]byte{byte(rnd.IntN(256))}, rnd.IntN(200))
					records = format.AppendPut(records, []byte(key), value)
					model[key] = string(value)
				}
			}
			if _, err := db.Write(ctx, records, count, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := dump(t, db, nil); !maps.Equal(got, model) {
		t.Fatalf("%d entries, want %d", len(got), len(model))
	}
	shut(t, db)
}
