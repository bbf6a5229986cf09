package party_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/dbtest"
)

// Property: a handle that leads can be closed, and hand over, while somebody in
// its process holds the right to write alone. The right is lost; but that of a
// member is not with the lead.
func TestLeaderGoesWithExclusive(t *testing.T) { eachSharing(t, testLeaderGoesWithExclusive) }

func testLeaderGoesWithExclusive(t *testing.T, s sharing) {
	ctx := context.Background()
	var b party.Batch
	b.Put([]byte("k"), []byte("v"))
	within := func(what string, ok func() bool) {
		t.Helper()
		for start := time.Now(); !ok(); time.Sleep(time.Millisecond) {
			if time.Since(start) > 10*time.Second {
				t.Fatalf("%s: waits for the end of the right", what)
			}
		}
	}
	t.Run("close", func(t *testing.T) {
		leader := openAs(t, party.Leader, dbtest.Dir(t), &s.options)
		x, err := leader.Begin(ctx)
		must(t, err)
		var closed atomic.Bool
		go func() {
			if err := leader.Close(); err != nil {
				t.Error(err)
			}
			closed.Store(true)
		}()
		within("close", closed.Load)
		wantErr(t, "commit", x.Commit(ctx, &b), party.ErrConnectionLost)
	})
	t.Run("hand over", func(t *testing.T) {
		dir := dbtest.Dir(t)
		leader := openAs(t, party.Leader, dir, &s.options)
		x, err := leader.Begin(ctx)
		must(t, err)
		next := open(t, dir, s.with(party.Options{Lead: party.LeadFirst}))
		if !s.memory() {
			within("hand over", func() bool { return next.Role() == party.Leader })
			wantErr(t, "commit", x.Commit(ctx, &b), party.ErrConnectionLost)
			return
		}
		within("hand over", func() bool { return leader.Role() == party.Member })
		time.Sleep(20 * time.Millisecond) // the next one waits
		must(t, x.Commit(ctx, &b))
		waitRole(t, next, party.Leader)
		if v, err := next.Get(ctx, []byte("k")); err != nil || string(v) != "v" {
			t.Errorf("got %q, %v", v, err)
		}
	})
}

// Property: while somebody writes alone the writes of the others wait, however
// many they are, their reads do not, and all are applied afterwards.
func TestReadsBesideExclusive(t *testing.T) { eachSharing(t, testReadsBesideExclusive) }

func testReadsBesideExclusive(t *testing.T, s sharing) {
	dir := dbtest.Dir(t)
	leader := openAs(t, party.Leader, dir, &s.options)
	other := open(t, dir, &s.options)
	t.Run("beside", func(t *testing.T) {
		testReadsBeside(t, open(t, dir, &s.options), map[string]*party.DB{"leader": leader, "other": other})
	})
	t.Run("guest", func(t *testing.T) {
		testReadsBeside(t, open(t, dir, &bySockets.options), map[string]*party.DB{"leader": leader, "other": other})
	})
}

func testReadsBeside(t *testing.T, guest *party.DB, holders map[string]*party.DB) {
	ctx := context.Background()
	for name, holder := range holders {
		t.Run(name, func(t *testing.T) {
			name := t.Name()
			x, err := holder.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer x.Discard()
			const writes = 300
			done := make(chan error)
			for i := range writes {
				go func() {
					done <- guest.Put(ctx, fmt.Appendf(nil, "%s%d", name, i), nil, party.WriteOptions{Sync: i%2 > 0})
				}()
			}
			limited, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			for range 100 {
				if ok, err := guest.Has(limited, []byte(name+"0")); ok || err != nil {
					t.Fatalf("has: %v, %v", ok, err)
				}
				time.Sleep(time.Millisecond / 2)
			}
			select {
			case err := <-done:
				t.Fatalf("a write did not wait: %v", err)
			default:
			}
			var b party.Batch
			b.Put([]byte(name+"0"), []byte("overwritten"))
			if err := x.Commit(ctx, &b); err != nil {
				t.Fatal(err)
			}
			for range writes {
				if err := <-done; err != nil {
					t.Fatal(err)
				}
			}
			for i := range writes {
				if v, err := guest.Get(ctx, fmt.Appendf(nil, "%s%d", name, i)); err != nil || len(v) > 0 {
					t.Fatalf("write %d: %q, %v", i, v, err)
				}
			}
		})
	}
}
