// Package multiproc tests what happens among processes: real ones, really
// killed.
package multiproc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/dbtest"
	"github.com/levelparty/party/internal/partytest"
	"github.com/levelparty/party/internal/vfs"
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

// A kind of process is how it opens the database: goes as a member where that is
// possible, sockets never.
const (
	goes    = "go"
	sockets = "sockets"
)

func options(kind string) *party.Options { return &party.Options{Sockets: kind == sockets} }

// openOnce opens the database in the way of its second argument, puts and gets a
// key, and tells how long the open took. Then it tells its role as often as it is
// asked, until it is told to end.
func openOnce(p *partytest.Self) error {
	ctx := context.Background()
	start := time.Now()
	db, err := party.Open(ctx, p.Args[0], options(p.Args[1]))
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
	for {
		p.Report(report{Kind: "open", Role: db.Role().String(), Took: took})
		var order string
		if err := p.Order(&order); err != nil {
			return err
		}
	}
}

// waitRole waits until a process that openOnce runs has the role. Its last report
// was r.
func waitRole(t *testing.T, p *partytest.Process, r report, role party.Role) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); r.Role != role.String(); {
		if time.Now().After(deadline) {
			t.Fatalf("role %s, want %v", r.Role, role)
		}
		time.Sleep(time.Millisecond)
		p.Order("role")
		p.Expect(&r)
	}
}

// start starts openOnce and waits until it has the role.
func start(t *testing.T, dir, kind string, role party.Role) *partytest.Process {
	t.Helper()
	p := partytest.Start(t, "open", dir, kind)
	var r report
	p.Expect(&r)
	waitRole(t, p, r, role)
	return p
}

// Property: of processes that start at the same instant on an empty directory
// exactly one leads, all work, and all see all.
func TestOpenAtOnce(t *testing.T) {
	for name, kinds := range map[string][]string{
		"members": {goes}, "sockets": {sockets}, "both": {goes, sockets},
	} {
		t.Run(name, func(t *testing.T) { testOpenAtOnce(t, kinds) })
	}
}

func testOpenAtOnce(t *testing.T, kinds []string) {
	n := 50
	if testing.Short() {
		n = 10
	}
	dir := dbtest.Checked(t, t.TempDir()+"/made/by/the/first")
	procs := make([]*partytest.Process, n)
	for i := range procs {
		procs[i] = partytest.Start(t, "open", dir, kinds[i%len(kinds)])
	}
	var took []time.Duration
	for _, p := range procs {
		var r report
		p.Expect(&r)
		took = append(took, r.Took)
	}
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		roles := make(map[string]int)
		for _, p := range procs {
			p.Order("role")
			var r report
			p.Expect(&r)
			roles[r.Role]++
		}
		if roles["leader"] > 1 {
			t.Fatalf("roles %v", roles)
		}
		if roles["leader"] == 1 && roles["electing"] == 0 {
			t.Logf("roles %v", roles)
			break
		}
		if time.Since(start) > 30*time.Second {
			t.Fatalf("roles %v", roles)
		}
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
// value that has been replaced must not come back. With a fourth argument it may:
// where Node processes lead, a retried write can be applied twice. The third is
// its kind.
func worker(p *partytest.Self) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o := options(p.Args[2])
	o.OnRole = func(r party.Role) { p.Report(report{Kind: "role", Role: r.String()}) }
	db, err := party.Open(ctx, p.Args[0], o)
	if err != nil {
		return err
	}
	defer db.Close()
	name, once := p.Args[1], len(p.Args) == 3
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
	t.Run("members", func(t *testing.T) { kill(t, goes, goes, goes, goes) })
	t.Run("sockets", func(t *testing.T) { kill(t, sockets, sockets, sockets, sockets) })
	t.Run("guests of members", func(t *testing.T) { kill(t, goes, sockets, goes, sockets) })
	t.Run("members or their host", func(t *testing.T) { kill(t, sockets, goes, sockets) })
}

// The same, but for the replaced values, among Go and Node processes of both
// packages, which follow each other in every order.
func TestLeaderKilledAmongNodes(t *testing.T) {
	t.Run("rave", func(t *testing.T) { kill(t, goes, "rave", goes, "rave") })
	t.Run("party", func(t *testing.T) { kill(t, goes, "party", goes, "party") })
	t.Run("both", func(t *testing.T) { kill(t, goes, "rave", "party", goes) })
	t.Run("one go", func(t *testing.T) { kill(t, "rave", goes, "rave") })
	t.Run("one go by sockets", func(t *testing.T) { kill(t, "rave", sockets, "rave") })
	t.Run("all kinds", func(t *testing.T) { kill(t, goes, sockets, "rave", "party") })
}

// kill starts a worker of each kind, kills the leader, and replaces it by
// another of its kind.
func kill(t *testing.T, kinds ...string) {
	kills := 20
	if testing.Short() {
		kills = 5
	}
	rnd := partytest.Random(t)
	dir := dbtest.Dir(t)
	f := gather(t, dir, kinds)
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
	f.check(func(key string) (string, bool) {
		v, err := check.Get(context.Background(), []byte(key))
		if err != nil && !errors.Is(err, party.ErrNotFound) {
			t.Fatal(err)
		}
		return string(v), err == nil
	})
}

// check looks whether what was acknowledged is there.
func (f *flock) check(get func(key string) (string, bool)) {
	f.t.Helper()
	for name, n := range f.acked {
		for i := range n {
			key := fmt.Sprintf("w%s/%08d", name, i)
			if v, _ := get(key); v != key {
				f.t.Errorf("acknowledged to a %s worker, of %d: %s: got %q", f.kinds[name], n, key, v)
				break
			}
			if _, ok := get("x" + key); ok {
				f.t.Fatalf("x%s is there", key)
			}
		}
	}
}

// gather makes a database and starts a worker of each kind at it.
func gather(t *testing.T, dir string, kinds []string) *flock {
	t.Helper()
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
	f.mixed = slices.ContainsFunc(kinds, isNode)
	for _, k := range kinds {
		f.start(k)
	}
	return f
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

func isNode(kind string) bool { return kind != goes && kind != sockets }

func (f *flock) start(kind string) {
	f.named++
	s := &sheep{
		name: strconv.Itoa(f.named), kind: kind, gaps: make(chan time.Duration, 1),
		ready: make(chan struct{}), over: make(chan struct{}),
	}
	switch {
	case isNode(kind):
		s.Process = partytest.Node(f.t, "peer.js", kind, f.dir, s.name)
	case f.mixed:
		s.Process = partytest.Start(f.t, "worker", f.dir, s.name, kind, "mixed")
	default:
		s.Process = partytest.Start(f.t, "worker", f.dir, s.name, kind)
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
	if !isNode(kind) || len(f.alive) == 1 {
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
	return openKind(t, dir, goes)
}

func openKind(t *testing.T, dir, kind string) *party.DB {
	t.Helper()
	db, err := party.Open(context.Background(), dir, options(kind))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// openAs opens a handle and waits until it has the role.
func openAs(t *testing.T, dir, kind string, role party.Role) *party.DB {
	t.Helper()
	db := openKind(t, dir, kind)
	for deadline := time.Now().Add(30 * time.Second); db.Role() != role; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("role %v, want %v", db.Role(), role)
		}
	}
	return db
}

// needMemory skips the test where processes cannot share memory.
func needMemory(t *testing.T) {
	t.Helper()
	if ok, why := vfs.SharedMemoryWorks(t.TempDir()); !ok {
		t.Skip(why)
	}
}
