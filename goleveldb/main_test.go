package goleveldb_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/syndtr/goleveldb/leveldb/opt"

	"github.com/levelparty/party"
	"github.com/levelparty/party/goleveldb"
	"github.com/levelparty/party/internal/dbtest"
	"github.com/levelparty/party/internal/partytest"
	"github.com/levelparty/party/internal/vfs"
)

func TestMain(m *testing.M) {
	partytest.Main(map[string]partytest.Helper{
		"lead":     lead,
		"transact": transact,
	})
	os.Exit(m.Run())
}

// lead opens the database in a directory, tells its role, and stays until it is
// told to end.
func lead(p *partytest.Self) error {
	db, err := goleveldb.OpenFile(p.Args[0], nil)
	if err != nil {
		return err
	}
	defer db.Close()
	for start := time.Now(); db.Party().Role() != party.Leader && time.Since(start) < 10*time.Second; {
		time.Sleep(time.Millisecond)
	}
	p.Report(db.Party().Role().String())
	var order string
	return p.Order(&order)
}

// startLeader starts a process that leads the database in dir.
func startLeader(t testing.TB, dir string) *partytest.Process {
	t.Helper()
	p := partytest.Start(t, "lead", dir)
	var role string
	if p.Expect(&role); role != party.Leader.String() {
		t.Fatalf("role of the first process is %s", role)
	}
	return p
}

// open opens the database in dir, and closes it when the test ends.
func open(t testing.TB, dir string, o *opt.Options) *goleveldb.DB {
	t.Helper()
	db, err := goleveldb.OpenFile(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, db)
	return db
}

func closeLater(t testing.TB, db *goleveldb.DB) {
	t.Cleanup(func() {
		if err := db.Close(); err != nil && err != goleveldb.ErrClosed {
			t.Errorf("close: %v", err)
		}
	})
}

// openGuest opens the database in dir, by sockets. If nobody leads it leads
// alone.
func openGuest(t testing.TB, dir string, o *goleveldb.Options) *goleveldb.DB {
	t.Helper()
	p, err := party.Open(context.Background(), dir, &party.Options{Sockets: true})
	if err != nil {
		t.Fatal(err)
	}
	db := goleveldb.New(p, o)
	closeLater(t, db)
	return db
}

// inRoles runs test with a database of its own for each way to reach one: as
// the leader, as a member beside one and as its guest, with the leader in this
// process and in another.
func inRoles(t *testing.T, test func(t *testing.T, db *goleveldb.DB)) {
	t.Run("leader", func(t *testing.T) {
		test(t, expectRole(t, open(t, dbtest.Dir(t), nil), party.Leader))
	})
	lead := func(t *testing.T, dir string) {
		p, err := party.Open(context.Background(), dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		for start := time.Now(); p.Role() != party.Leader; time.Sleep(time.Millisecond) {
			if time.Since(start) > 10*time.Second {
				t.Fatalf("role %v, want leader", p.Role())
			}
		}
	}
	elsewhere := func(t *testing.T, dir string) { startLeader(t, dir) }
	for name, lead := range map[string]func(t *testing.T, dir string){"": lead, " of another process": elsewhere} {
		t.Run("member"+name, func(t *testing.T) {
			dir := dbtest.Dir(t)
			needMemory(t, dir)
			lead(t, dir)
			test(t, expectRole(t, open(t, dir, nil), party.Member))
		})
		t.Run("guest"+name, func(t *testing.T) {
			dir := dbtest.Dir(t)
			lead(t, dir)
			test(t, expectRole(t, openGuest(t, dir, nil), party.Guest))
		})
	}
}

// needMemory skips the test where processes cannot share memory.
func needMemory(t *testing.T, dir string) {
	t.Helper()
	if ok, why := vfs.SharedMemoryWorks(dir); !ok {
		t.Skip(why)
	}
}

func expectRole(t testing.TB, db *goleveldb.DB, want party.Role) *goleveldb.DB {
	t.Helper()
	for start := time.Now(); db.Party().Role() != want; time.Sleep(time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("role %v, want %v", db.Party().Role(), want)
		}
	}
	return db
}

func put(t testing.TB, w interface {
	Put(key, value []byte, wo *opt.WriteOptions) error
}, key, value string) {
	t.Helper()
	if err := w.Put([]byte(key), []byte(value), nil); err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

// get returns the value of key, "(none)" if there is none.
func get(t testing.TB, r interface {
	Get(key []byte, ro *opt.ReadOptions) ([]byte, error)
}, key string) string {
	t.Helper()
	v, err := r.Get([]byte(key), nil)
	if err == goleveldb.ErrNotFound {
		return none
	}
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	return string(v)
}

const none = "(none)"
