package party_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/dbtest"
	"github.com/levelparty/party/internal/partytest"
)

// Property: two handles are members of one database, and each sees at once what
// the other has written.
func TestMembersSeeEachOther(t *testing.T) {
	needMemory(t)
	ctx := context.Background()
	dir := dbtest.Dir(t)
	a := openAs(t, party.Leader, dir, nil)
	b := open(t, dir, nil)
	for i := range 20000 {
		key, value := fmt.Appendf(nil, "k%d", i%5000), fmt.Appendf(nil, "v%d", i)
		if err := a.Put(ctx, key, value); err != nil {
			t.Fatal(err)
		}
		got, err := b.Get(ctx, key)
		if err != nil || string(got) != string(value) {
			t.Fatalf("get %s: %s, %v; want %s", key, got, err, value)
		}
		a, b = b, a
	}
	roles := map[party.Role]int{a.Role(): 1}
	roles[b.Role()]++
	if roles[party.Leader] != 1 || roles[party.Member] != 1 {
		t.Errorf("roles %v", roles)
	}
	if s, err := b.Status(ctx); err != nil || len(s.Members) != 2 {
		t.Errorf("status %+v, %v", s, err)
	}
}

func TestMembers(t *testing.T) {
	ctx := context.Background()
	dir := dbtest.Dir(t)
	a, b := open(t, dir, nil), open(t, dir, nil)
	for i := range 10 {
		if err := b.Put(ctx, fmt.Append(nil, i), nil); err != nil {
			t.Fatal(err)
		}
	}
	buf, err := a.Append(ctx, []byte("x"), []byte("3"))
	if err != nil || string(buf) != "x" {
		t.Errorf("append: %q, %v", buf, err)
	}
	members, err := a.Members(ctx)
	if err != nil || len(members) != 2 {
		t.Fatalf("%+v, %v", members, err)
	}
	for _, m := range members {
		if m.PID == 0 || m.Program == "" || m.Since.IsZero() || m.Self && m.Gets != 1 || !m.Self && m.Records != 10 {
			t.Errorf("%+v", m)
		}
	}
	guest := open(t, dir, &party.Options{Sockets: true})
	if _, err := guest.Members(ctx); !errors.Is(err, party.ErrNotSupported) {
		t.Errorf("of a guest: %v", err)
	}
}

// Property: whoever leaves last leaves no table behind that nobody needs, though
// the leader that replaced it went first.
func TestLastRemovesTables(t *testing.T) {
	ctx := context.Background()
	dir := dbtest.Dir(t)
	a := checkable(t, dir, nil)
	b := open(t, dir, nil)
	snap, err := b.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Put(ctx, []byte("k0000"), nil); err != nil {
		t.Fatal(err)
	}
	if err := a.CompactRange(ctx, party.Range{}); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if value, err := snap.Get(ctx, []byte("k0000")); err != nil || string(value) != "value 0" {
		t.Errorf("the snapshot reads %q, %v", value, err)
	}
	snap.Close()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := party.Check(ctx, dir)
	if err != nil || len(r.Problems)+len(r.Notes) > 0 || r.Tables != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// Property: a leader that closes while it writes tables, and others write, leaves a
// database that the others can write to.
func TestLeaderClosesAtWork(t *testing.T) {
	needMemory(t)
	ctx := context.Background()
	rnd := partytest.Random(t)
	dir := dbtest.Dir(t)
	o := &party.Options{WriteBuffer: 64 << 10, Compression: party.NoCompression}
	b := open(t, dir, o)
	for b.Role() != party.Leader {
		time.Sleep(time.Millisecond)
	}
	var done atomic.Bool
	var wg sync.WaitGroup
	for g := range 4 {
		h := b
		if g%2 == 1 {
			h = open(t, dir, &party.Options{WriteBuffer: 64 << 10, Lead: party.LeadNever})
		}
		wg.Go(func() {
			value := make([]byte, 4000)
			for i := 0; !done.Load(); i++ {
				if err := h.Put(ctx, fmt.Appendf(nil, "%d/%d", g, i%1000), value); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	rounds := 60
	if testing.Short() {
		rounds = 15
	}
	for range rounds {
		first := *o
		first.Lead = party.LeadFirst // b hands over to it
		a := openAs(t, party.Leader, dir, &first)
		time.Sleep(time.Duration(rnd.IntN(20000)) * time.Microsecond) // somewhere in its work
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			break
		}
	}
	done.Store(true)
	wg.Wait()
}
