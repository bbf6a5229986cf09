package party_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/levelparty/party"
)

// namesOf returns the names of the files in a directory.
func namesOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// checkable makes a database with tables and a log, and returns a handle on it.
func checkable(t *testing.T, dir string, o *party.Options) *party.DB {
	t.Helper()
	ctx := context.Background()
	db, err := party.Open(ctx, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	put := func(n int) {
		var b party.Batch
		for i := range n {
			b.Put(fmt.Appendf(nil, "k%04d", i), fmt.Append(nil, "value ", i))
		}
		if err := db.Write(ctx, &b); err != nil {
			t.Fatal(err)
		}
	}
	put(1000)
	if err := db.CompactRange(ctx, party.Range{}); err != nil {
		t.Fatal(err)
	}
	put(10)
	return db
}

// Property: a database is checked whether or not it is open, and the check
// leaves nothing behind.
func TestCheck(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	if _, err := party.Check(ctx, dir); !errors.Is(err, party.ErrNotExist) {
		t.Errorf("no database: %v", err)
	}
	if _, err := party.Check(ctx, filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	db := checkable(t, dir, nil)
	live := db.Role() == party.Member || len(namesOf(t, dir)) > 0 && slices.Contains(namesOf(t, dir), "party.shm")
	r, err := party.Check(ctx, dir)
	if live {
		if err != nil || r.Err() != nil || !r.Live || r.Tables == 0 || r.Records != 10 || r.LastSequence != 1010 {
			t.Errorf("open: %+v, %v", r, err)
		}
	} else if !errors.Is(err, party.ErrLocked) {
		t.Errorf("open: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	names := namesOf(t, dir)
	r, err = party.Check(ctx, dir)
	if err != nil || r.Err() != nil || r.Live || r.Entries != 1000 || r.Records != 10 || r.LastSequence != 1010 {
		t.Errorf("closed: %+v, %v", r, err)
	}
	if now := namesOf(t, dir); !slices.Equal(now, names) {
		t.Errorf("files %q, before %q", now, names)
	}

	// Who holds the lock alone is not disturbed.
	db, err = party.Open(ctx, dir, &party.Options{Sockets: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := party.Check(ctx, dir); !errors.Is(err, party.ErrLocked) {
		t.Errorf("a leader of guests: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRepair(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	db := checkable(t, dir, nil)
	if _, err := party.Repair(ctx, dir, nil); !errors.Is(err, party.ErrLocked) {
		t.Errorf("open: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := party.Repair(ctx, dir, nil); err != nil || !r.Sound {
		t.Errorf("sound: %+v, %v", r, err)
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*.ldb"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	table := tables[len(tables)-1] // what was compacted into it may still be there
	b, err := os.ReadFile(table)
	if err == nil {
		b[100] ^= 1
		err = os.WriteFile(table, b, 0o644)
	}
	if err == nil {
		err = os.Remove(filepath.Join(dir, "CURRENT"))
	}
	if err != nil {
		t.Fatal(err)
	}
	if r, err := party.Check(ctx, dir); err != nil || !errors.Is(r.Err(), party.ErrCorrupted) || len(r.Problems) != 2 {
		t.Errorf("damaged: %+v, %v", r, err)
	}
	dry, err := party.Repair(ctx, dir, &party.RepairOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := party.Repair(ctx, dir, nil)
	if err != nil || len(r.Lost) != 1 || fmt.Sprint(r.Lost) != fmt.Sprint(dry.Lost) || r.Salvaged != 1 || r.Logs == 0 {
		t.Errorf("dry %+v, then %+v, %v", dry, r, err)
	}
	for _, name := range r.Archived {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if r, err := party.Check(ctx, dir); err != nil || r.Err() != nil {
		t.Errorf("repaired: %+v, %v", r, err)
	}
	db, err = party.Open(ctx, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	// The log that is kept restores what the table has lost.
	for _, i := range []int{0, 5, 500, 999} {
		if v, err := db.Get(ctx, fmt.Appendf(nil, "k%04d", i)); err != nil || string(v) != fmt.Sprint("value ", i) {
			t.Errorf("k%04d: %q, %v", i, v, err)
		}
	}
}
