package goleveldb_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/syndtr/goleveldb/leveldb/opt"

	"github.com/levelparty/party"
	"github.com/levelparty/party/goleveldb"
	"github.com/levelparty/party/internal/dbtest"
	"github.com/levelparty/party/internal/partytest"
)

// transact adds one to the number under the key "n" in transactions, as often
// as its argument says; with "hold" it stays in the first one. It reports when
// it is in a transaction.
func transact(p *partytest.Self) error {
	db, err := goleveldb.OpenFile(p.Args[0], nil)
	if err != nil {
		return err
	}
	defer db.Close()
	times, hold := 0, p.Args[1] == "hold"
	if hold {
		times = 1
	} else if _, err := fmt.Sscan(p.Args[1], &times); err != nil {
		return err
	}
	for range times {
		tr, err := db.OpenTransaction()
		if err != nil {
			return err
		}
		if err := increment(tr); err != nil {
			return err
		}
		if hold {
			p.Report("in")
			var order string
			return p.Order(&order)
		}
		if err := tr.Commit(); err != nil {
			return err
		}
	}
	p.Report("done")
	return nil
}

func increment(tr *goleveldb.Transaction) error {
	n := 0
	v, err := tr.Get([]byte("n"), nil)
	if err != nil && err != goleveldb.ErrNotFound {
		return err
	}
	if err == nil {
		if _, err := fmt.Sscan(string(v), &n); err != nil {
			return err
		}
	}
	return tr.Put([]byte("n"), fmt.Append(nil, n+1), nil)
}

// Property: transactions of several processes, and of several goroutines,
// exclude each other: no increment is lost.
func TestTransactionsExclude(t *testing.T) {
	const procs, each = 3, 20
	dir := dbtest.Dir(t)
	db := open(t, dir, nil)
	all := make([]*partytest.Process, procs)
	for i := range all {
		all[i] = partytest.Start(t, "transact", dir, fmt.Sprint(each))
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range each {
				tr, err := db.OpenTransaction()
				if err != nil {
					t.Error(err)
					return
				}
				if err := increment(tr); err != nil {
					t.Error(err)
				}
				if err := tr.Commit(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, p := range all {
		var done string
		p.Expect(&done)
		p.End()
	}
	wg.Wait()
	if got, want := get(t, db, "n"), fmt.Sprint((procs+2)*each); got != want {
		t.Errorf("n = %s, want %s", got, want)
	}
}

// Property: while a process is in a transaction the writes of others wait and
// their reads do not; when it is killed its right ends and its writes are gone.
func TestTransactionOfKilledProcess(t *testing.T) {
	inRoles(t, func(t *testing.T, db *goleveldb.DB) {
		put(t, db, "n", "7")
		holder := partytest.Start(t, "transact", db.Party().Path(), "hold")
		var in string
		holder.Expect(&in)

		written, opened := make(chan error, 1), make(chan error, 1)
		go func() { written <- db.Put([]byte("k"), []byte("v"), nil) }()
		go func() {
			tr, err := db.OpenTransaction()
			if err == nil {
				err = increment(tr)
			}
			if err == nil {
				err = tr.Commit()
			}
			opened <- err
		}()
		select {
		case err := <-written:
			t.Fatalf("a write did not wait for the transaction: %v", err)
		case err := <-opened:
			t.Fatalf("a transaction did not wait for the other: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
		if got := get(t, db, "n"); got != "7" {
			t.Errorf("read %q beside the transaction, want 7", got)
		}
		holder.Kill()
		if err := errors.Join(<-written, <-opened); err != nil {
			t.Fatal(err)
		}
		if got := get(t, db, "n"); got != "8" {
			t.Errorf("n = %s, want 8", got)
		}
	})
}

// Property: a transaction whose leader died fails, in its reads, its iterators
// and its commit, and leaves no trace; the next one works.
func TestTransactionOfDeadLeader(t *testing.T) {
	dir := dbtest.Dir(t)
	leader := startLeader(t, dir)
	db := openGuest(t, dir, nil)
	put(t, db, "k", "old")
	tr, err := db.OpenTransaction()
	if err != nil {
		t.Fatal(err)
	}
	put(t, tr, "k", "new")
	it := tr.NewIterator(nil, nil)
	defer it.Release()
	snap, err := db.GetSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Release()
	leader.Kill()
	if _, err := tr.Get([]byte("other"), nil); !errors.Is(err, party.ErrSnapshotLost) {
		t.Errorf("get: %v, want ErrSnapshotLost", err)
	}
	if it.Next() || !errors.Is(it.Error(), party.ErrSnapshotLost) {
		t.Errorf("iterator: %v, want ErrSnapshotLost", it.Error())
	}
	if _, err := snap.Get([]byte("k"), nil); !errors.Is(err, party.ErrSnapshotLost) {
		t.Errorf("snapshot: %v, want ErrSnapshotLost", err)
	}
	if it := snap.NewIterator(nil, nil); it.Next() || !errors.Is(it.Error(), party.ErrSnapshotLost) {
		t.Errorf("snapshot's iterator: %v, want ErrSnapshotLost", it.Error())
	}
	if err := tr.Commit(); !errors.Is(err, party.ErrConnectionLost) {
		t.Errorf("commit: %v, want ErrConnectionLost", err)
	}
	if got := get(t, db, "k"); got != "old" {
		t.Errorf("k = %q, want old", got)
	}
	if tr, err = db.OpenTransaction(); err != nil {
		t.Fatal(err)
	}
	put(t, tr, "k", "newer")
	if err := tr.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := get(t, db, "k"); got != "newer" {
		t.Errorf("k = %q, want newer", got)
	}
}

// Property: Close ends what waits: writes and transactions behind somebody
// else's transaction, SetReadOnly behind this handle's own.
func TestCloseEndsWaiting(t *testing.T) {
	inRoles(t, func(t *testing.T, db *goleveldb.DB) {
		other := open(t, db.Party().Path(), nil)
		tr, err := other.OpenTransaction()
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Discard()
		results := make(chan error)
		waits := []func() error{
			func() error { return db.Put([]byte("k"), nil, nil) },
			func() error { return db.Write(batch("k", "v"), &opt.WriteOptions{Sync: true}) },
			func() error { _, err := db.OpenTransaction(); return err },
			func() error { _, err := db.OpenTransaction(); return err },
		}
		for _, wait := range waits {
			go func() { results <- wait() }()
		}
		time.Sleep(20 * time.Millisecond)
		go func() { results <- db.SetReadOnly() }()
		time.Sleep(20 * time.Millisecond)
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		for range len(waits) + 1 {
			if err := <-results; err != goleveldb.ErrClosed {
				t.Errorf("got %v, want ErrClosed", err)
			}
		}
	})
}

func batch(keysAndValues ...string) *goleveldb.Batch {
	b := new(goleveldb.Batch)
	for i := 0; i < len(keysAndValues); i += 2 {
		b.Put([]byte(keysAndValues[i]), []byte(keysAndValues[i+1]))
	}
	return b
}

// Property: a transaction larger than a message fails as a whole, and gives its
// right back; one just below that does not.
func TestLargeTransaction(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	inRoles(t, func(t *testing.T, db *goleveldb.DB) {
		value := bytes.Repeat([]byte("large"), 1<<20/5)
		for _, c := range []struct {
			values int
			want   error
		}{{65, party.ErrTooLarge}, {20, nil}} {
			tr, err := db.OpenTransaction()
			if err != nil {
				t.Fatal(err)
			}
			for i := range c.values {
				if err := tr.Put(fmt.Appendf(nil, "%d", i), value, nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := tr.Commit(); !errors.Is(err, c.want) {
				t.Errorf("commit of %d MiB: %v, want %v", c.values, err, c.want)
			}
			it := db.NewIterator(nil, nil)
			n := 0
			for it.Next() {
				n++
			}
			it.Release()
			if want := map[bool]int{true: c.values}[c.want == nil]; n != want || it.Error() != nil {
				t.Errorf("%d entries, %v, want %d", n, it.Error(), want)
			}
		}
	})
}

// Property: one transaction can be used by several goroutines at once, and its
// iterators show the state at their creation.
func TestConcurrentTransaction(t *testing.T) {
	inRoles(t, func(t *testing.T, db *goleveldb.DB) {
		tr, err := db.OpenTransaction()
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range 100 {
					key := fmt.Sprintf("%d-%03d", g, i)
					if err := tr.Put([]byte(key), []byte(key), nil); err != nil {
						t.Error(err)
					}
					if v, err := tr.Get([]byte(key), nil); err != nil || string(v) != key {
						t.Errorf("get: %q, %v", v, err)
					}
					if i%20 > 0 {
						continue
					}
					it := tr.NewIterator(nil, nil)
					first := count(it.Next)
					it.First()
					if again := 1 + count(it.Next); again != first {
						t.Errorf("iterator showed %d entries, then %d", first, again)
					}
					it.Release()
				}
			})
		}
		wg.Wait()
		if err := tr.Commit(); err != nil {
			t.Fatal(err)
		}
		it := db.NewIterator(nil, nil)
		defer it.Release()
		if n := count(it.Next); n != 400 {
			t.Errorf("%d entries, want 400", n)
		}
	})
}

func count(next func() bool) (n int) {
	for next() {
		n++
	}
	return n
}
