package party_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/dbtest"
	"github.com/levelparty/party/internal/partytest"
	"github.com/levelparty/party/internal/vfs"
)

func TestMain(m *testing.M) {
	partytest.Main(map[string]partytest.Helper{"lead": leadElsewhere})
	os.Exit(m.Run())
}

// leadElsewhere opens the database in its first argument, tells when it leads,
// and stays.
func leadElsewhere(p *partytest.Self) error {
	roles := make(chan party.Role, 16)
	db, err := party.Open(context.Background(), p.Args[0], &party.Options{OnRole: func(r party.Role) { roles <- r }})
	if err != nil {
		return err
	}
	defer db.Close()
	for r := range roles {
		if r == party.Leader {
			break
		}
	}
	p.Report("leads")
	var order string
	return p.Order(&order)
}

func open(t *testing.T, dir string, o *party.Options) *party.DB {
	t.Helper()
	db, err := party.Open(context.Background(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

// openAs opens a handle and waits until it has the role: a member is one for a
// moment before it leads.
func openAs(t *testing.T, role party.Role, dir string, o *party.Options) *party.DB {
	t.Helper()
	db := open(t, dir, o)
	waitRole(t, db, role)
	return db
}

func waitRole(t *testing.T, db *party.DB, role party.Role) {
	t.Helper()
	until(t, "the role "+role.String(), func() bool { return db.Role() == role })
}

// sharing is one of the two ways in which Go processes share a database.
type sharing struct {
	name    string
	options party.Options
	beside  party.Role // of a handle when another leads
}

func (s sharing) memory() bool { return s.beside == party.Member }

// with returns o for handles that share in this way.
func (s sharing) with(o party.Options) *party.Options {
	o.Sockets = s.options.Sockets
	return &o
}

var (
	byMemory  = sharing{"members", party.Options{}, party.Member}
	bySockets = sharing{"sockets", party.Options{Sockets: true}, party.Guest}
)

// eachSharing runs test for each way in which Go processes share.
func eachSharing(t *testing.T, test func(t *testing.T, s sharing)) {
	for _, s := range []sharing{byMemory, bySockets} {
		t.Run(s.name, func(t *testing.T) {
			if s.memory() {
				needMemory(t)
			}
			test(t, s)
		})
	}
}

// needMemory skips the test where processes cannot share memory.
func needMemory(t *testing.T) {
	t.Helper()
	if ok, why := vfs.SharedMemoryWorks(t.TempDir()); !ok {
		t.Skip(why)
	}
}

func TestTwoHandles(t *testing.T) {
	eachSharing(t, func(t *testing.T, s sharing) {
		ctx, dir := context.Background(), dbtest.Dir(t)
		leader := openAs(t, party.Leader, dir, &s.options)
		other := openAs(t, s.beside, dir, &s.options)
		if err := other.Put(ctx, []byte("k"), []byte("v")); err != nil {
			t.Fatal(err)
		}
		if v, err := leader.Get(ctx, []byte("k")); err != nil || string(v) != "v" {
			t.Fatalf("got %q, %v; want v", v, err)
		}
		if err := leader.Close(); err != nil {
			t.Fatal(err)
		}
		if v, err := other.Get(ctx, []byte("k")); err != nil || string(v) != "v" {
			t.Fatalf("after the leader left: got %q, %v; want v", v, err)
		}
		if _, err := leader.Get(ctx, []byte("k")); !errors.Is(err, party.ErrClosed) {
			t.Fatalf("closed handle: %v, want ErrClosed", err)
		}
		waitRole(t, other, party.Leader)
	})
}

// Property: who was asked to use sockets and who was not share one database,
// whoever came first.
func TestMixedSharing(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name          string
		leader, other party.Options
		role          party.Role
	}{
		{"a guest of a member", party.Options{}, party.Options{Sockets: true}, party.Guest},
		{"no member beside who leads alone", party.Options{Sockets: true}, party.Options{}, party.Guest},
		{"members", party.Options{}, party.Options{}, party.Member},
	} {
		t.Run(c.name, func(t *testing.T) {
			needMemory(t)
			dir := dbtest.Dir(t)
			leader := openAs(t, party.Leader, dir, &c.leader)
			other := openAs(t, c.role, dir, &c.other)
			must(t, other.Put(ctx, []byte("k"), []byte("v")))
			if v, err := leader.Get(ctx, []byte("k")); err != nil || string(v) != "v" {
				t.Errorf("got %q, %v; want v", v, err)
			}
			st, err := other.Status(ctx)
			must(t, err)
			if (st.Apart != "") != (c.role == party.Guest) || (len(st.Members) > 0) == c.leader.Sockets {
				t.Errorf("status %+v", st)
			}
			must(t, leader.Close())
			waitRole(t, other, party.Leader)
			if v, err := other.Get(ctx, []byte("k")); err != nil || string(v) != "v" {
				t.Errorf("after the leader left: got %q, %v; want v", v, err)
			}
			third := open(t, dir, nil) // a member, or the guest of who now leads alone
			if v, err := third.Get(ctx, []byte("k")); err != nil || string(v) != "v" {
				t.Errorf("third: got %q, %v; want v", v, err)
			}
			if st, err := third.Status(ctx); err != nil || (len(st.Members) > 0) == c.other.Sockets {
				t.Errorf("third: status %+v, %v", st, err)
			}
		})
	}
}
