package party_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/dbtest"
)

// Property: who watches sees every change of every handle, once, in order, over
// rotations and compactions, and over its own restart.
func TestWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir := dbtest.Dir(t)
	o := &party.Options{WriteBuffer: 64 << 10}
	a, b := open(t, dir, o), open(t, dir, o)
	const n = 20000
	failed := make(chan error, 1)
	go func() {
		defer close(failed)
		for i := range n {
			db := a
			if i%3 == 0 {
				db = b
			}
			if err := db.Put(ctx, fmt.Appendf(nil, "k%d", i%1000), fmt.Append(nil, i)); err != nil {
				failed <- err
				return
			}
		}
	}()
	watcher := open(t, dir, o)
	next, from := 0, uint64(1)
	for next < n {
		part := min(next+7000, n)
		for c, err := range watcher.Watch(ctx, party.Range{}, from) {
			if err != nil {
				t.Fatal(err)
			}
			if c.Seq != from || string(c.Value) != fmt.Sprint(next) || !c.Last {
				t.Fatalf("change %d: %s=%s, want number %d with %d", c.Seq, c.Key, c.Value, from, next)
			}
			from++
			if next++; next == part {
				break
			}
		}
		watcher.Close()
		watcher = open(t, dir, o)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

// Property: what is no longer kept is told so, with the place to go on from.
func TestWatchGap(t *testing.T) {
	ctx := context.Background()
	db := open(t, dbtest.Dir(t), &party.Options{WriteBuffer: 64 << 10, Retention: -1})
	for i := range 5000 {
		if err := db.Put(ctx, fmt.Appendf(nil, "k%d", i), make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.CompactRange(ctx, party.Range{}); err != nil {
		t.Fatal(err)
	}
	var errs []error
	for _, err := range db.Watch(ctx, party.Range{}, 1) {
		errs = append(errs, err)
	}
	var gap *party.WatchGapError
	if err := errors.Join(errs...); len(errs) != 1 || !errors.Is(err, party.ErrWatchGap) || !errors.As(err, &gap) || gap.Resync != 5000 || gap.From != 1 {
		t.Fatalf("got %v, want a gap", err)
	}
	// Nothing is there yet: it waits, and ends with the context.
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	errs = nil
	for _, err := range db.Watch(ctx, party.Range{}, 0) {
		errs = append(errs, err)
	}
	if len(errs) != 1 || !errors.Is(errs[0], context.Canceled) {
		t.Fatalf("got %v, want the context's error", errs)
	}
}
