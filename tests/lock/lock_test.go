// Package lock tests who is kept out by whom: party, goleveldb and C++ LevelDB
// in all directions, in processes of their own.
package lock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/syndtr/goleveldb/leveldb"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/dbtest"
	"github.com/levelparty/party/internal/partytest"
	"github.com/levelparty/party/internal/vfs"
)

func TestMain(m *testing.M) {
	partytest.Main(map[string]partytest.Helper{"goleveldb": holdGoleveldb, "party": holdParty})
	os.Exit(m.Run())
}

type report struct {
	Kind string
	Err  string
	Text string
}

// holdGoleveldb opens the directory with goleveldb and holds it. With a second
// argument it tries until it gets in.
func holdGoleveldb(p *partytest.Self) error {
	db, err := leveldb.OpenFile(p.Args[0], nil)
	for err != nil && len(p.Args) > 1 {
		time.Sleep(time.Millisecond)
		db, err = leveldb.OpenFile(p.Args[0], nil)
	}
	if err != nil {
		p.Report(report{Kind: "error", Err: err.Error()})
		return nil
	}
	defer db.Close()
	p.Report(report{Kind: "ready"})
	var order string
	return p.Order(&order)
}

// holdParty opens the directory in the way of its second argument and holds it.
func holdParty(p *partytest.Self) error {
	db, err := party.Open(context.Background(), p.Args[0], &party.Options{Sockets: p.Args[1] == "sockets"})
	if err != nil {
		p.Report(report{Kind: "error", Err: err.Error()})
		return nil
	}
	defer db.Close()
	p.Report(report{Kind: "ready"})
	var order string
	return p.Order(&order)
}

func first(p *partytest.Process) (r report) {
	p.Expect(&r)
	return r
}

func TestLeaderKeepsOthersOut(t *testing.T) {
	for _, kind := range []string{"member", "sockets"} {
		t.Run(kind, func(t *testing.T) { testLeaderKeepsOthersOut(t, kind) })
	}
}

// Property: strangers stay out until the last of the members has gone.
func TestMembersKeepOthersOut(t *testing.T) {
	dir := dbtest.Dir(t)
	if ok, why := vfs.SharedMemoryWorks(dir); !ok {
		t.Skip(why)
	}
	members := make([]*partytest.Process, 3)
	for i := range members {
		members[i] = partytest.Start(t, "party", dir, "member")
		first(members[i])
	}
	for i, m := range members {
		if r := first(partytest.Start(t, "goleveldb", dir)); r.Kind != "error" {
			t.Errorf("goleveldb beside %d members: %+v", 3-i, r)
		}
		if r := first(partytest.Node(t, "peer.js", "classic", dir)); r.Err != "LEVEL_LOCKED" {
			t.Errorf("C++ LevelDB beside %d members: %+v", 3-i, r)
		}
		if i%2 == 0 {
			m.Kill()
		} else {
			m.End()
		}
	}
	if r := first(partytest.Start(t, "goleveldb", dir)); r.Kind != "ready" {
		t.Errorf("goleveldb after all: %+v", r)
	}
}

func testLeaderKeepsOthersOut(t *testing.T, kind string) {
	dir := dbtest.Dir(t)
	leader := partytest.Start(t, "party", dir, kind)
	if r := first(leader); r.Kind != "ready" {
		t.Fatal(r)
	}
	if r := first(partytest.Start(t, "goleveldb", dir)); r.Kind != "error" || !strings.Contains(r.Err, "temporarily unavailable") {
		t.Errorf("goleveldb beside a leader: %+v", r)
	}
	if r := first(partytest.Node(t, "peer.js", "classic", dir)); r.Kind != "error" || r.Err != "LEVEL_LOCKED" {
		t.Errorf("C++ LevelDB beside a leader: %+v", r)
	}
	// And they get in when it has gone, whichever way it went.
	leader.Kill()
	node := partytest.Node(t, "peer.js", "classic", dir)
	if r := first(node); r.Kind != "ready" {
		t.Errorf("C++ LevelDB after a killed leader: %+v", r)
	}
	node.End()
	if r := first(partytest.Start(t, "goleveldb", dir)); r.Kind != "ready" {
		t.Errorf("goleveldb after all: %+v", r)
	}
}

func TestStrangersKeepUsOut(t *testing.T) {
	for name, start := range map[string]func(dir string) *partytest.Process{
		"goleveldb": func(dir string) *partytest.Process { return partytest.Start(t, "goleveldb", dir) },
		"classic":   func(dir string) *partytest.Process { return partytest.Node(t, "peer.js", "classic", dir) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := dbtest.Dir(t)
			stranger := start(dir)
			if r := first(stranger); r.Kind != "ready" {
				t.Fatal(r)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
			defer cancel()
			_, err := party.Open(ctx, dir, nil)
			if !errors.Is(err, party.ErrLocked) || !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("open: %v, want ErrLocked and DeadlineExceeded", err)
			}
			for _, want := range []string{dir, fmt.Sprintf("pid %d", stranger.PID())} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not name %q", err, want)
				}
			}
			// Without a deadline it is bounded all the same.
			_, err = party.Open(context.Background(), dir, &party.Options{LockTimeout: 100 * time.Millisecond})
			if !errors.Is(err, party.ErrLocked) {
				t.Fatalf("open: %v, want ErrLocked", err)
			}
			// Whoever waits gets in when the stranger leaves.
			opened := make(chan error, 1)
			go func() {
				db, err := party.Open(context.Background(), dir, &party.Options{LockTimeout: -1})
				if err == nil {
					err = db.Close()
				}
				opened <- err
			}()
			select {
			case err := <-opened:
				t.Fatalf("open beside a stranger: %v", err)
			case <-time.After(50 * time.Millisecond):
			}
			stranger.End()
			if err := <-opened; err != nil {
				t.Errorf("open after the stranger: %v", err)
			}
		})
	}
}

// Property: when a stranger takes the lock between two leaders, calls fail with
// ErrLocked after the time set, and work again when it has gone.
func TestStrangerBetweenLeaders(t *testing.T) {
	for _, kind := range []string{"member", "sockets"} {
		t.Run(kind, func(t *testing.T) { testStrangerBetweenLeaders(t, kind) })
	}
}

func testStrangerBetweenLeaders(t *testing.T, kind string) {
	dir := dbtest.Dir(t)
	ctx := context.Background()
	leader := partytest.Start(t, "party", dir, kind)
	first(leader)
	db, err := party.Open(ctx, dir, &party.Options{Lead: party.LeadNever, Sockets: true, LockTimeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	leader.Kill()
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = db.Get(short, []byte("k"))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "leader of "+dir) {
		t.Errorf("get without a leader: %v, want DeadlineExceeded that says what it waited for", err)
	}
	leader = partytest.Start(t, "party", dir, kind)
	first(leader)
	if err := db.Put(ctx, []byte("k"), []byte("v")); err != nil {
		t.Errorf("put after the next leader: %v", err)
	}

	// LeadLast leaves the stranger, which is waiting already, a head start.
	eager, err := party.Open(ctx, dir, &party.Options{Lead: party.LeadLast, Sockets: true, LockTimeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer eager.Close()
	db.Close()
	stranger := partytest.Start(t, "goleveldb", dir, "wait")
	leader.Kill()
	if r := first(stranger); r.Kind != "ready" {
		t.Fatal(r)
	}
	if _, err := eager.Get(ctx, []byte("k")); !errors.Is(err, party.ErrLocked) {
		t.Errorf("get beside a stranger: %v, want ErrLocked", err)
	}
	stranger.End()
	for {
		v, err := eager.Get(ctx, []byte("k"))
		if err == nil && string(v) == "v" {
			break
		}
		if !errors.Is(err, party.ErrLocked) {
			t.Fatalf("get after the stranger: %q, %v", v, err)
		}
	}
}

func TestMistakes(t *testing.T) {
	ctx, dir := context.Background(), dbtest.Dir(t)
	file := dir + "/file"
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, dir string
		o         party.Options
		want      error
	}{
		{"a file", file, party.Options{}, party.ErrInvalid},
		{"below a file", file + "/db", party.Options{}, nil},
		{"no name", "", party.Options{}, party.ErrInvalid},
		{"must exist", dir + "/none", party.Options{MustExist: true}, party.ErrNotExist},
		{"read only", dir + "/none", party.Options{ReadOnly: true}, party.ErrNotExist},
		{"both", dir + "/none", party.Options{MustExist: true, MustNotExist: true}, party.ErrInvalid},
	} {
		_, err := party.Open(ctx, c.dir, &c.o)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := os.Stat(dir + "/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a failed open left something behind: %v", err)
	}
	db, err := party.Open(ctx, dir+"/db", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := party.Open(ctx, dir+"/db", &party.Options{MustNotExist: true}); !errors.Is(err, party.ErrExist) {
		t.Errorf("must not exist: %v, want ErrExist", err)
	}
}
