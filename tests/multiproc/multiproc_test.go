// Package multiproc tests what happens among processes: real ones, really
// killed.
package multiproc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/partytest"
)

var helpers = map[string]partytest.Helper{"open": openOnce, "worker": worker}

func TestMain(m *testing.M) {
	partytest.Main(helpers)
	os.Exit(m.Run())
}

// A report of a helper.
type report struct {
	Kind  string        // what it is about
	Role  string        `json:",omitempty"`
	Key   string        `json:",omitempty"`
	Value string        `json:",omitempty"`
	Err   string        `json:",omitempty"`
	Took  time.Duration `json:",omitempty"`
	N     int           `json:",omitempty"`
}

// openOnce opens the database, puts and gets a key, tells how long the open
// took, and stays until it is told to end.
func openOnce(p *partytest.Self) error {
	ctx := context.Background()
	start := time.Now()
	db, err := party.Open(ctx, p.Args[0], nil)
	if err != nil {
		return err
	}
	defer db.Close()
	took := time.Since(start)
	key := []byte("pid" + strconv.Itoa(os.Getpid()))
	if err := db.Put(ctx, key, key); err != nil {
		return err
	}
	if _, err := db.Get(ctx, key); err != nil {
		return err
	}
	p.Report(report{Kind: "open", Role: db.Role().String(), Took: took})
	var order string
	return p.Order(&order)
}

// Property: of processes that start at the same instant on an empty directory
// exactly one leads, all work, and all see all.
func TestOpenAtOnce(t *testing.T) {
	n := 50
	if testing.Short() {
		n = 10
	}
	dir := t.TempDir() + "/made/by/the/first"
	procs := make([]*partytest.Process, n)
	for i := range procs {
		procs[i] = partytest.Start(t, "open", dir)
	}
	leaders := 0
	var took []time.Duration
	for _, p := range procs {
		var r report
		p.Expect(&r)
		if r.Role == "leader" {
			leaders++
		}
		took = append(took, r.Took)
	}
	if leaders != 1 {
		t.Errorf("%d leaders, want 1", leaders)
	}
	db := open(t, dir)
	keys := 0
	for _, err := range party.Keys(context.Background(), db, party.IteratorOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		keys++
	}
	if keys != n {
		t.Errorf("%d keys, want %d", keys, n)
	}
	slices.Sort(took)
	t.Logf("open: median %v, max %v", took[n/2], took[n-1])
	for _, p := range procs {
		p.End()
	}
}

// worker writes and reads until its orders end. Keys are its own, w<name>/<n>,
// and every acknowledged put is reported after it was acknowledged. It also
// writes the shared key "hot" with values never used twice, and watches it: a
// value that has been replaced must not come back. With a third argument it may:
// where Node processes lead, a retried write can be applied twice.
func worker(p *partytest.Self) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	db, err := party.Open(ctx, p.Args[0], &party.Options{
		OnRole: func(r party.Role) { p.Report(report{Kind: "role", Role: r.String()}) },
	})
	if err != nil {
		return err
	}
	defer db.Close()
	name, once := p.Args[1], len(p.Args) == 2
	p.Report(report{Kind: "ready"})
	var wg sync.WaitGroup
	var last, gap atomic.Int64 // of any operation that succeeded; the longest pause
	last.Store(time.Now().UnixNano())
	done := func() {
		now := time.Now().UnixNano()
		if d := now - last.Swap(now); d > gap.Load() {
			gap.Store(d)
		}
	}
	fail := func(what string, err error) {
		if !errors.Is(err, context.Canceled) {
			p.Report(report{Kind: "error", Err: fmt.Sprintf("%s: %v", what, err)})
		}
	}
	wg.Add(4)
	go func() { // puts of its own keys, some in batches, some deleted again
		defer wg.Done()
		for i := 0; ctx.Err() == nil; i++ {
			key := fmt.Sprintf("w%s/%08d", name, i)
			var err error
			if i%7 == 0 {
				var b party.Batch
				b.Put([]byte(key), []byte(key))
				b.Put([]byte("x"+key), []byte(key))
				b.Delete([]byte("x" + key))
				err = db.Write(ctx, &b)
			} else {
				err = db.Put(ctx, []byte(key), []byte(key))
			}
			if err != nil {
				fail("put", err)
				continue
			}
			done()
			p.Report(report{Kind: "ack", N: i})
		}
	}()
	go func() { // the hot key
		defer wg.Done()
		for i := 0; ctx.Err() == nil; i++ {
			if err := db.Put(ctx, []byte("hot"), fmt.Appendf(nil, "%s/%d", name, i)); err != nil {
				fail("put hot", err)
				continue
			}
			done()
		}
	}()
	go func() { // watches the hot key
		defer wg.Done()
		seen := make(map[string]bool)
		now := ""
		for ctx.Err() == nil {
			v, err := db.Get(ctx, []byte("hot"))
			if errors.Is(err, party.ErrNotFound) {
				continue
			}
			if err != nil {
				fail("get hot", err)
				continue
			}
			done()
			if string(v) == now {
				continue
			}
			if now = string(v); seen[now] && once {
				p.Report(report{Kind: "error", Err: fmt.Sprintf("hot: %q came back", now)})
			}
			seen[now] = true
		}
	}()
	go func() { // iterators over a range that does not change: complete, in order, each once
		defer wg.Done()
		for i := 0; ctx.Err() == nil; i++ {
			reverse := i%2 == 1
			it := db.Iterator(ctx, party.IteratorOptions{
				Range:   party.Range{GTE: []byte("fixed/"), LT: []byte("fixed0")},
				Reverse: reverse,
			})
			n := 0
			for it.Next() {
				want := fmt.Sprintf("fixed/%05d", n)
				if reverse {
					want = fmt.Sprintf("fixed/%05d", fixedKeys-1-n)
				}
				if string(it.Key()) != want {
					p.Report(report{Kind: "error", Err: fmt.Sprintf("iterator: got %q, want %q", it.Key(), want)})
					break
				}
				n++
			}
			if err := it.Err(); err != nil {
				fail("iterator", err)
			} else if n != fixedKeys && ctx.Err() == nil {
				p.Report(report{Kind: "error", Err: fmt.Sprintf("iterator: %d entries, want %d", n, fixedKeys)})
			} else {
				p.Report(report{Kind: "scan", N: n})
			}
			it.Close()
		}
	}()
	var order string
	for p.Order(&order) == nil {
		if order == "gap" {
			p.Report(report{Kind: "gap", Took: time.Duration(gap.Swap(0))})
		}
	}
	cancel()
	wg.Wait()
	if err := db.Close(); err != nil {
		return err
	}
	return io.EOF
}

const fixedKeys = 2000

// Properties, while the leader is killed again and again: no acknowledged put
// is lost; a replaced value does not come back; every iterator returns every
// key of its range once and in order; nobody gets an error.
func TestLeaderKilled(t *testing.T) {
	kill(t, "go", "go", "go", "go")
}

// The same, but for the replaced values, among Go and Node processes of both
// packages, which follow each other in every order.
func TestLeaderKilledAmongNodes(t *testing.T) {
	t.Run("rave", func(t *testing.T) { kill(t, "go", "rave", "go", "rave") })
	t.Run("party", func(t *testing.T) { kill(t, "go", "party", "go", "party") })
	t.Run("both", func(t *testing.T) { kill(t, "go", "rave", "party", "go") })
	t.Run("one go", func(t *testing.T) { kill(t, "rave", "go", "rave") })
}

// kill starts a worker of each kind, kills the leader, and replaces it by
// another of its kind.
func kill(t *testing.T, kinds ...string) {
	kills := 20
	if testing.Short() {
		kills = 5
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("PARTY_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("PARTY_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	db, err := party.Open(context.Background(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b party.Batch
	for i := range fixedKeys {
		b.Put(fmt.Appendf(nil, "fixed/%05d", i), fmt.Appendf(nil, "%0100d", i))
	}
	if err := db.Write(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	f := &flock{t: t, dir: dir, acked: make(map[string]int), led: make(map[string]int), kinds: make(map[string]string)}
	f.mixed = slices.ContainsFunc(kinds, func(k string) bool { return k != "go" })
	for _, k := range kinds {
		f.start(k)
	}
	var gaps []time.Duration
	for range kills {
		f.work(50 + rnd.IntN(100))
		leader := f.leader()
		t.Logf("kill %s (%s)", leader.name, leader.kind)
		f.gaps() // forget what was before
		f.kill(leader)
		f.leader()
		f.work(100)
		gaps = append(gaps, f.gaps()...)
		f.start(leader.kind)
	}
	f.end()
	slices.Sort(gaps)
	t.Logf("%d kills (led: %v), %d acknowledged puts, %d scans; gap: median %v, max %v",
		kills, f.led, f.acks(), f.scans, gaps[len(gaps)/2], gaps[len(gaps)-1])

	check := open(t, dir)
	for name, n := range f.acked {
		for i := range n {
			key := fmt.Sprintf("w%s/%08d", name, i)
			v, err := check.Get(context.Background(), []byte(key))
			if err != nil || string(v) != key {
				t.Errorf("acknowledged to a %s worker, of %d: %s: got %q, %v", f.kinds[name], n, key, v, err)
				break
			}
			if _, err := check.Get(context.Background(), []byte("x"+key)); !errors.Is(err, party.ErrNotFound) {
				t.Fatalf("x%s: %v, want ErrNotFound", key, err)
			}
		}
	}
}

// flock is a number of workers.
type flock struct {
	t     *testing.T
	dir   string
	named int
	alive []*sheep

	mu    sync.Mutex
	acked map[string]int // puts acknowledged to each worker ever
	led   map[string]int // how often a worker of each kind came to lead
	scans int
	now   *sheep // the leader
	mixed bool
	kinds map[string]string
}

type sheep struct {
	*partytest.Process
	name  string
	kind  string
	gaps  chan time.Duration
	ready chan struct{}
	over  chan struct{}
}

func (f *flock) start(kind string) {
	f.named++
	s := &sheep{
		name: strconv.Itoa(f.named), kind: kind, gaps: make(chan time.Duration, 1),
		ready: make(chan struct{}), over: make(chan struct{}),
	}
	switch {
	case kind != "go":
		s.Process = partytest.Node(f.t, "peer.js", kind, f.dir, s.name)
	case f.mixed:
		s.Process = partytest.Start(f.t, "worker", f.dir, s.name, "mixed")
	default:
		s.Process = partytest.Start(f.t, "worker", f.dir, s.name)
	}
	f.alive = append(f.alive, s)
	f.kinds[s.name] = kind
	go func() {
		defer close(s.over)
		for {
			var r report
			if !s.Report(&r) {
				return
			}
			f.mu.Lock()
			switch r.Kind {
			case "ready":
				close(s.ready)
			case "role":
				if r.Role == "leader" {
					f.now = s
					f.led[kind]++
				}
			case "ack":
				f.acked[s.name] = r.N + 1
			case "scan":
				f.scans++
				// A level-party guest that got a scan's end twice, before and after
				// a failover, ends its next scan by the second: it gives both the
				// same id.
				if r.N != fixedKeys && kind != "party" {
					f.t.Errorf("worker %s (%s): scan of %d keys, want %d", s.name, kind, r.N, fixedKeys)
				}
			case "gap":
				s.gaps <- r.Took
			case "error":
				f.t.Errorf("worker %s: %s", s.name, r.Err)
			}
			f.mu.Unlock()
		}
	}()
	if kind == "go" || len(f.alive) == 1 {
		<-s.ready
	}
	// A Node process may have to wait until one of its own kind, or a Go
	// process, leads.
}

// work waits until the living have acknowledged that many puts more.
func (f *flock) work(puts int) {
	for until := f.acks() + puts; f.acks() < until; {
		time.Sleep(time.Millisecond)
	}
}

// leader waits until one of the living leads.
func (f *flock) leader() *sheep {
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		f.mu.Lock()
		now := f.now
		f.mu.Unlock()
		if slices.Contains(f.alive, now) {
			return now
		}
		time.Sleep(time.Millisecond)
	}
	f.t.Fatal("nobody leads")
	return nil
}

func (f *flock) kill(s *sheep) {
	f.alive = slices.DeleteFunc(f.alive, func(o *sheep) bool { return o == s })
	s.KillKeep()
	<-s.over
}

func (f *flock) gaps() (gaps []time.Duration) {
	for _, s := range f.alive {
		s.Order("gap")
	}
	for _, s := range f.alive {
		select {
		case g := <-s.gaps:
			gaps = append(gaps, g)
		case <-s.over:
			f.t.Fatalf("worker %s ended", s.name)
		}
	}
	return gaps
}

func (f *flock) end() {
	for _, s := range f.alive {
		s.End()
	}
}

func (f *flock) acks() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.acked {
		n += a
	}
	return n
}

func open(t *testing.T, dir string) *party.DB {
	t.Helper()
	db, err := party.Open(context.Background(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}
