package party_test

import (
	"context"
	"errors"
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
