package party_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/levelparty/party"
)

// Property: a handle that leads can be closed, and hand over, while somebody in
// its process holds the right to write alone; the right is lost.
func TestLeaderGoesWithExclusive(t *testing.T) {
	ctx := context.Background()
	var b party.Batch
	b.Put([]byte("k"), []byte("v"))
	for name, leave := range map[string]func(t *testing.T, dir string, leader *party.DB) (left func() bool){
		"close": func(t *testing.T, dir string, leader *party.DB) func() bool {
			var closed atomic.Bool
			go func() {
				if err := leader.Close(); err != nil {
					t.Error(err)
				}
				closed.Store(true)
			}()
			return closed.Load
		},
		"hand over": func(t *testing.T, dir string, leader *party.DB) func() bool {
			next := open(t, dir, &party.Options{Lead: party.LeadFirst})
			return func() bool { return next.Role() == party.Leader }
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			leader := open(t, dir, nil)
			x, err := leader.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			left := leave(t, dir, leader)
			for start := time.Now(); !left(); time.Sleep(time.Millisecond) {
				if time.Since(start) > 10*time.Second {
					t.Error("the leader waits for the end of the right")
					break
				}
			}
			if err := x.Commit(ctx, &b); !errors.Is(err, party.ErrConnectionLost) {
				t.Errorf("commit: %v, want ErrConnectionLost", err)
			}
		})
	}
}

// Property: while somebody writes alone the writes of a guest wait, however
// many they are, its reads do not, and all are applied afterwards.
func TestGuestReadsBesideExclusive(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	leader := open(t, dir, nil)
	other, guest := open(t, dir, nil), open(t, dir, nil)
	for name, holder := range map[string]*party.DB{"leader": leader, "guest": other} {
		t.Run(name, func(t *testing.T) {
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
