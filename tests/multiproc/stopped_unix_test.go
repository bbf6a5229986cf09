//go:build unix

package multiproc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/partytest"
)

func init() { helpers["greedy"] = greedy }

// Property: calls to a leader that is stopped end with their contexts, however
// much they have to send, and say what they waited for; when it goes on, so
// does the handle.
func TestStoppedLeader(t *testing.T) {
	dir := t.TempDir()
	leader := partytest.Start(t, "open", dir)
	var r report
	leader.Expect(&r)
	db := open(t, dir)
	must(t, leader.Signal(syscall.SIGSTOP))
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			// Together far more than a socket holds.
			err := db.Put(ctx, fmt.Appendf(nil, "k%d", i), make([]byte, 1<<20))
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), fmt.Sprintf("leader (pid %d) of %s", leader.PID(), dir)) {
				t.Errorf("put to a stopped leader: %v", err)
			}
		}()
	}
	wg.Wait()
	it := db.Iterator(ctx, party.IteratorOptions{})
	if it.Next() || !errors.Is(it.Err(), context.DeadlineExceeded) {
		t.Errorf("iterator at a stopped leader: %v", it.Err())
	}
	it.Close()
	must(t, leader.Signal(syscall.SIGCONT))
	must(t, db.Put(context.Background(), []byte("k"), []byte("v")))
	if v, err := db.Get(context.Background(), []byte("k")); err != nil || string(v) != "v" {
		t.Errorf("got %q, %v", v, err)
	}
	leader.End()
}

// greedy asks for far more than it takes: scans of all entries and large
// values, from many goroutines.
func greedy(p *partytest.Self) error {
	ctx := context.Background()
	db, err := party.Open(ctx, p.Args[0], nil)
	if err != nil {
		return err
	}
	for range 64 {
		go func() {
			for {
				it := db.Iterator(ctx, party.IteratorOptions{})
				for it.Next() {
				}
				it.Close()
			}
		}()
		go func() {
			for {
				_, _ = db.Get(ctx, []byte("large"))
				_ = db.Put(ctx, []byte("its"), make([]byte, 1<<20))
			}
		}()
	}
	p.Report(report{Kind: "ready"})
	var order string
	return p.Order(&order)
}

// Property: a guest that stops in the middle of everything neither stops the
// others nor makes the leader grow with what it asked for.
func TestStoppedGuest(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	ctx := context.Background()
	must(t, db.Put(ctx, []byte("large"), bytes.Repeat([]byte("v"), 4<<20)))
	for i := range 20000 {
		must(t, db.Put(ctx, fmt.Appendf(nil, "%06d", i), bytes.Repeat([]byte("v"), 100)))
	}
	other := partytest.Start(t, "open", dir)
	var r report
	other.Expect(&r)
	var guests []*partytest.Process
	for range 4 {
		g := partytest.Start(t, "greedy", dir)
		g.Expect(&r)
		guests = append(guests, g)
	}
	time.Sleep(200 * time.Millisecond) // let them ask
	before := memory(t)
	for _, g := range guests {
		must(t, g.Signal(syscall.SIGSTOP))
	}
	start := time.Now()
	for i := range 2000 {
		must(t, db.Put(ctx, fmt.Appendf(nil, "%06d", i), []byte("again")))
	}
	late := partytest.Start(t, "open", dir)
	late.Expect(&r)
	if r.Role != "guest" {
		t.Errorf("role %s, want guest", r.Role)
	}
	after := memory(t)
	t.Logf("beside 4 stopped guests with 128 calls each: 2000 puts and a new guest in %v; memory %d MiB, then %d MiB",
		time.Since(start).Round(time.Millisecond), before>>20, after>>20)
	// One answer for each of the guests' connections may be under way, not one
	// for each of their calls.
	if after > before+128<<20 {
		t.Errorf("memory grew from %d MiB to %d MiB", before>>20, after>>20)
	}
	late.End()
	other.End()
}

// memory returns what this process has in memory, in bytes.
func memory(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	must(t, err)
	return pages * os.Getpagesize()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
