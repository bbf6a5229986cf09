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
	"github.com/levelparty/party/internal/dbtest"
	"github.com/levelparty/party/internal/partytest"
)

func init() { helpers["greedy"] = greedy }

// Property: calls to a leader that is stopped end with their contexts, however
// much they have to send, and say what they waited for; when it goes on, so
// does the handle.
func TestStoppedLeader(t *testing.T) {
	for _, kind := range []string{goes, sockets} {
		t.Run(kind, func(t *testing.T) { testStoppedLeader(t, kind) })
	}
}

func testStoppedLeader(t *testing.T, kind string) {
	dir := dbtest.Dir(t)
	leader := start(t, dir, kind, party.Leader)
	db := openAs(t, dir, sockets, party.Guest)
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

// Property: while the leader is stopped members read and write on, as far as they
// can without new tables; what then waits ends with its context; and all goes on
// when the leader does.
func TestMembersBesideStoppedLeader(t *testing.T) {
	needMemory(t)
	dir := dbtest.Dir(t)
	leader := start(t, dir, goes, party.Leader)
	db := openAs(t, dir, goes, party.Member)
	must(t, leader.Signal(syscall.SIGSTOP))
	defer func() { _ = leader.Signal(syscall.SIGCONT) }()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var err error
	n := 0
	for ; err == nil; n++ {
		key := fmt.Appendf(nil, "k%06d", n)
		if err = db.Put(ctx, key, make([]byte, 64<<10)); err != nil {
			break
		}
		if _, e := db.Get(context.Background(), key); e != nil {
			t.Fatal(e)
		}
	}
	if n < 64 || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "wait for the leader") {
		t.Errorf("after %d puts: %v", n, err)
	}
	late := openAs(t, dir, goes, party.Member)
	for i := range n {
		if ok, err := late.Has(context.Background(), fmt.Appendf(nil, "k%06d", i)); err != nil || !ok {
			t.Fatalf("k%06d: %v, %v", i, ok, err)
		}
	}
	must(t, leader.Signal(syscall.SIGCONT))
	must(t, db.Put(context.Background(), []byte("k"), []byte("v")))
	if v, err := late.Get(context.Background(), []byte("k")); err != nil || string(v) != "v" {
		t.Errorf("got %q, %v", v, err)
	}
	leader.End()
}

// greedy asks for far more than it takes: scans of all entries and large
// values, from many goroutines.
func greedy(p *partytest.Self) error {
	ctx := context.Background()
	db, err := party.Open(ctx, p.Args[0], options(sockets))
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
	for _, kind := range []string{goes, sockets} {
		t.Run(kind, func(t *testing.T) { testStoppedGuest(t, kind) })
	}
}

func testStoppedGuest(t *testing.T, kind string) {
	dir := dbtest.Dir(t)
	db := openAs(t, dir, kind, party.Leader)
	ctx := context.Background()
	must(t, db.Put(ctx, []byte("large"), bytes.Repeat([]byte("v"), 4<<20)))
	for i := range 20000 {
		must(t, db.Put(ctx, fmt.Appendf(nil, "%06d", i), bytes.Repeat([]byte("v"), 100)))
	}
	other := start(t, dir, sockets, party.Guest)
	var r report
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
	began := time.Now()
	for i := range 2000 {
		must(t, db.Put(ctx, fmt.Appendf(nil, "%06d", i), []byte("again")))
	}
	late := start(t, dir, sockets, party.Guest)
	after := memory(t)
	t.Logf("beside 4 stopped guests with 128 calls each: 2000 puts and a new guest in %v; memory %d MiB, then %d MiB",
		time.Since(began).Round(time.Millisecond), before>>20, after>>20)
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
