package goleveldb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/syndtr/goleveldb/leveldb/iterator"

	"github.com/levelparty/party"
	"github.com/levelparty/party/goleveldb"
	"github.com/levelparty/party/internal/dbtest"
)

const many = 20000

// putMany writes more entries than an iterator reads ahead.
func putMany(t *testing.T, db *goleveldb.DB) {
	t.Helper()
	var b goleveldb.Batch
	for i := range many {
		b.Put(fmt.Appendf(nil, "%06d", i), bytes.Repeat([]byte("v"), 50))
	}
	if err := db.Write(&b, nil); err != nil {
		t.Fatal(err)
	}
}

// Property: an iterator whose leader was killed fails, with an error that says
// why, and the handle works on.
func TestIteratorOfDeadLeader(t *testing.T) {
	dir := dbtest.Dir(t)
	leader := startLeader(t, dir)
	db := openGuest(t, dir, nil)
	putMany(t, db)
	it := db.NewIterator(nil, nil)
	defer it.Release()
	unused := db.NewIterator(nil, nil)
	defer unused.Release()
	seen := 0
	for ; seen < 10; seen++ {
		it.Next()
	}
	leader.Kill()
	seen += count(it.Next)
	for _, it := range []iterator.Iterator{it, unused} {
		if it.Valid() || it.Next() || it.First() || it.Key() != nil || !errors.Is(it.Error(), party.ErrSnapshotLost) {
			t.Errorf("after %d entries: %v, want ErrSnapshotLost", seen, it.Error())
		}
	}
	again := db.NewIterator(nil, nil)
	defer again.Release()
	if n := count(again.Next); n != many || again.Error() != nil {
		t.Errorf("%d entries from the next leader, %v, want %d", n, again.Error(), many)
	}
}

// Property: the iterators, snapshots and transactions of a member do not notice
// that the leader is killed.
func TestMemberOfDeadLeader(t *testing.T) {
	dir := dbtest.Dir(t)
	needMemory(t, dir)
	leader := startLeader(t, dir)
	db := expectRole(t, open(t, dir, nil), party.Member)
	putMany(t, db)
	snap, err := db.GetSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Release()
	it := db.NewIterator(nil, nil)
	defer it.Release()
	it.Next()
	tr, err := db.OpenTransaction()
	if err != nil {
		t.Fatal(err)
	}
	put(t, tr, "k", "new")
	leader.Kill()
	if got := get(t, tr, "k"); got != "new" {
		t.Errorf("k = %q in the transaction, want new", got)
	}
	if err := tr.Commit(); err != nil {
		t.Error(err)
	}
	if n := 1 + count(it.Next); n != many || it.Error() != nil {
		t.Errorf("%d entries, %v, want %d", n, it.Error(), many)
	}
	if got := get(t, snap, "k"); got != none {
		t.Errorf("k = %q in the snapshot, want none", got)
	}
	expectRole(t, db, party.Leader)
	if got := get(t, db, "k"); got != "new" {
		t.Errorf("k = %q, want new", got)
	}
}

// Property: with ResumeIterators an iterator goes on.
func TestResumeIterators(t *testing.T) {
	dir := dbtest.Dir(t)
	leader := startLeader(t, dir)
	db := openGuest(t, dir, &goleveldb.Options{ResumeIterators: true})
	putMany(t, db)
	it := db.NewIterator(nil, nil)
	defer it.Release()
	seen := 0
	for ; seen < 10; seen++ {
		it.Next()
	}
	leader.Kill()
	if seen += count(it.Next); seen != many || it.Error() != nil {
		t.Errorf("%d entries, %v, want %d", seen, it.Error(), many)
	}
	if !it.Last() || !it.Prev() || string(it.Key()) != fmt.Sprintf("%06d", many-2) {
		t.Errorf("after the end: %q, %v", it.Key(), it.Error())
	}
}

// Property: the iterators of a handle that leads alone fail alike when it hands
// over to another process, rather than show two states; a member's read on in
// their one.
func TestIteratorOfLeaderThatHandsOver(t *testing.T) {
	for _, sockets := range []bool{true, false} {
		t.Run(fmt.Sprintf("sockets %v", sockets), func(t *testing.T) {
			dir := dbtest.Dir(t)
			var db *goleveldb.DB
			after := party.Guest
			if sockets {
				db = openGuest(t, dir, nil)
			} else {
				needMemory(t, dir)
				db, after = open(t, dir, nil), party.Member
			}
			expectRole(t, db, party.Leader)
			fill(t, db) // tables: what is in memory outlives the database
			it := db.NewIterator(nil, nil)
			defer it.Release()
			it.Next()
			next, err := party.Open(context.Background(), dir, &party.Options{Lead: party.LeadFirst, Sockets: sockets})
			if err != nil {
				t.Fatal(err)
			}
			defer next.Close()
			expectRole(t, db, after)
			n := 1 + count(it.Next)
			switch {
			case sockets && (n == 500 || !errors.Is(it.Error(), party.ErrSnapshotLost)):
				t.Errorf("%d entries, %v, want ErrSnapshotLost", n, it.Error())
			case !sockets && (n != 500 || it.Error() != nil):
				t.Errorf("%d entries, %v, want 500", n, it.Error())
			}
		})
	}
}

// Property: calls wait for the next leader, or need none, and all succeed.
func TestCallsOverFailover(t *testing.T) {
	t.Run("member", func(t *testing.T) {
		testCallsOverFailover(t, func(dir string) *goleveldb.DB { return open(t, dir, nil) })
	})
	t.Run("guest", func(t *testing.T) {
		testCallsOverFailover(t, func(dir string) *goleveldb.DB { return openGuest(t, dir, nil) })
	})
}

func testCallsOverFailover(t *testing.T, open func(dir string) *goleveldb.DB) {
	dir := dbtest.Dir(t)
	leader := startLeader(t, dir)
	db := open(dir)
	stop := time.AfterFunc(50*time.Millisecond, func() { leader.KillKeep() })
	defer stop.Stop()
	n := 0
	for start := time.Now(); time.Since(start) < 300*time.Millisecond; n++ {
		key := fmt.Sprint(n)
		put(t, db, key, key)
		if got := get(t, db, key); got != key {
			t.Fatalf("got %q, want %q", got, key)
		}
		var s goleveldb.DBStats
		if n%100 == 0 {
			if err := db.Stats(&s); err != nil {
				t.Fatal(err)
			}
		}
	}
	expectRole(t, db, party.Leader)
	it := db.NewIterator(nil, nil)
	defer it.Release()
	if got := count(it.Next); got != n {
		t.Errorf("%d entries, want %d", got, n)
	}
}
