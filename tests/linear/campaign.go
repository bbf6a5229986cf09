//go:build unix

package linear

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anishathalye/porcupine"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/dbtest"
	"github.com/levelparty/party/internal/partytest"
)

// Tally counts what campaigns did.
type Tally struct {
	Histories int // checked
	Undecided int // not checked in time
	Ops       int
	Unknown   int // operations whose outcome nobody knows
	Events    map[EventKind]int
	Leaders   int           // events that met the leader
	Check     time.Duration // spent on checking
	Slowest   time.Duration // check
}

// Add adds what others did.
func (t *Tally) Add(o Tally) {
	t.Histories += o.Histories
	t.Undecided += o.Undecided
	t.Ops += o.Ops
	t.Unknown += o.Unknown
	t.Leaders += o.Leaders
	t.Check += o.Check
	t.Slowest = max(t.Slowest, o.Slowest)
	for kind, n := range o.Events {
		t.count(kind, n)
	}
}

func (t *Tally) count(kind EventKind, n int) {
	if t.Events == nil {
		t.Events = make(map[EventKind]int)
	}
	t.Events[kind] += n
}

func (t Tally) String() string {
	return fmt.Sprintf("%d histories (%d undecided), %d operations (%d unknown), %v (%d met the leader); checks took %v, the slowest %v",
		t.Histories, t.Undecided, t.Ops, t.Unknown, t.Events, t.Leaders, t.Check.Round(time.Millisecond), t.Slowest.Round(time.Millisecond))
}

// Config is how campaigns are run.
type Config struct {
	Way Way
	// Lie, if set, is one of Lies.
	Lie string
	// Out is the directory for histories that fail.
	Out string
	// CheckTime bounds a check.
	CheckTime time.Duration
}

// Failure is a history that is not linearizable.
type Failure struct {
	Round int
	Dir   string // what was written of it
	Text  string
	Verdict
}

// campaign is a plan being carried out.
type campaign struct {
	Config
	t     testing.TB
	plan  Plan
	dir   string // of the database
	logs  string // of the history files
	tally Tally
	index int // of the next process

	mu     sync.Mutex
	leader *child
	all    []*child
	errs   []string
	hung   bool
}

// child is a process, seen by the parent.
type child struct {
	*partytest.Process
	index   int
	history string
	ready   chan struct{} // closed when it works
	over    chan struct{} // closed when its reports have ended
	stopped *time.Timer   // it is stopped until then
	killed  bool
	until   sync.Mutex // held while the end of a stop is carried out
}

// Run carries out the plan of a seed. It fails t for what goes wrong but for
// histories that are not linearizable: the first of these it returns, if there
// is one.
func Run(t testing.TB, c Config, seed uint64) (Tally, *Failure) {
	t.Helper()
	if c.CheckTime == 0 {
		c.CheckTime = 20 * time.Second
	}
	r := &campaign{Config: c, t: t, plan: NewPlan(seed), dir: filepath.Join(t.TempDir(), "db"), logs: t.TempDir()}
	var state State
	if r.plan.Ballast > 0 {
		r.load()
	}
	for i, round := range r.plan.Rounds {
		history, last := r.round(i, round)
		if t.Failed() {
			return r.tally, nil
		}
		start := time.Now()
		v := Check(state, history, r.CheckTime)
		took := time.Since(start)
		r.tally.Histories++
		r.tally.Ops += len(history)
		for _, o := range history {
			if o.Outcome == Unknown {
				r.tally.Unknown++
			}
		}
		r.tally.Check += took
		r.tally.Slowest = max(r.tally.Slowest, took)
		if v.Result != porcupine.Ok {
			f := &Failure{Round: i, Verdict: v}
			f.Dir = filepath.Join(c.Out, fmt.Sprintf("%s-%d-%d", strings.ReplaceAll(c.Way.Name+c.Lie, " ", "-"), seed, i))
			f.Text = fmt.Sprintf("way %s, seed %d, round %d: %d operations", c.Way.Name, seed, i, len(history))
			if v.Result == porcupine.Unknown {
				r.tally.Undecided++
			}
			if c.Out != "" {
				if err := WriteFailure(f.Dir, f.Text, state, history, v); err != nil {
					t.Error(err)
				}
				if err := os.CopyFS(filepath.Join(f.Dir, "db"), os.DirFS(r.dir)); err != nil {
					t.Log(err) // sockets cannot be copied
				}
			}
			if v.Result == porcupine.Illegal {
				return r.tally, f
			}
			t.Logf("not decided within %v: %s: %s", c.CheckTime, f.Text, f.Dir)
		}
		state = last
	}
	return r.tally, nil
}

// open opens the database in the parent, while no process of the campaign lives.
func (c *campaign) open() *party.DB {
	ctx, cancel := context.WithTimeout(context.Background(), opTime)
	defer cancel()
	o := c.Way.Options(0)
	db, err := party.Open(ctx, c.dir, &o)
	if err != nil {
		c.t.Fatalf("open by the parent: %v", err)
	}
	return db
}

func (c *campaign) close(db *party.DB) {
	if err := db.Close(); err != nil {
		c.t.Fatal(err)
	}
}

// load puts the ballast there is at the beginning.
func (c *campaign) load() {
	db := c.open()
	defer c.close(db)
	var b party.Batch
	for key := range c.plan.Keys {
		for i := range c.plan.Ballast {
			b.Put(ballast(key, i), make([]byte, 2000))
		}
	}
	if err := db.Write(context.Background(), &b); err != nil {
		c.t.Fatal(err)
	}
}

// round runs a round. It returns the history, whose last operation is a read of
// all keys when no process was left, and what that saw.
func (c *campaign) round(n int, r Round) ([]Op, State) {
	c.leader, c.all = nil, nil
	first := c.index
	var alive []*child
	join := func() { alive = append(alive, c.start(n, r)) }
	remove := func(p *child) {
		alive = slices.DeleteFunc(alive, func(o *child) bool { return o == p })
	}
	for range r.Processes {
		join()
	}
	for _, p := range alive {
		select {
		case <-p.ready:
		case <-p.over:
			c.t.Fatalf("process %d ended early", p.index)
		}
	}
	start := time.Now()
	for _, e := range r.Events {
		if time.Until(start.Add(e.At)) > 0 {
			time.Sleep(time.Until(start.Add(e.At)))
		}
		if e.Kind == Join {
			if len(alive) < 8 {
				c.tally.count(Join, 1)
				join()
			}
			continue
		}
		if e.Kind == KillAll {
			c.tally.count(KillAll, 1)
			was := slices.Clone(alive)
			for _, p := range was {
				p.kill()
				remove(p)
			}
			for range max(len(was), 2) {
				join()
			}
			continue
		}
		p, led := c.victim(e, alive)
		if p == nil {
			continue
		}
		c.tally.count(e.Kind, 1)
		if led {
			c.tally.Leaders++
		}
		switch e.Kind {
		case Kill:
			p.kill()
			remove(p)
		case Stop:
			p.stop(e.For, false)
		case StopKill:
			p.stop(e.For, true)
			remove(p)
		case End:
			p.end(orderEnd)
			remove(p)
		case Close:
			p.end(orderClose)
			remove(p)
		}
	}
	if rest := time.Until(start.Add(r.Length)); rest > 0 {
		time.Sleep(rest)
	}
	for _, p := range alive {
		p.end(orderEnd)
	}
	if c.hanging() {
		return nil, State{}
	}
	histories := make([][]Op, first, c.index+1)
	for _, p := range c.all {
		if !p.killed {
			p.End()
		}
		ops, err := ReadHistory(p.history)
		if err != nil && !os.IsNotExist(err) { // killed before it made one
			c.t.Fatal(err)
		}
		histories = append(histories, ops)
	}
	if err := dbtest.Sound(c.dir); err != nil {
		c.t.Errorf("way %s, seed %d, round %d, with all gone: %v", c.Way.Name, c.plan.Seed, n, err)
	}
	last := c.readAll()
	return Merge(append(histories, []Op{last})...), last.seen()
}

// hanging waits until the processes have ended. It reports whether they had to be
// made to.
func (c *campaign) hanging() bool {
	for _, p := range c.all {
		<-p.over
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, err := range c.errs {
		c.t.Errorf("way %s, seed %d: %s", c.Way.Name, c.plan.Seed, err)
	}
	return c.hung
}

// readAll reads all keys.
func (c *campaign) readAll() Op {
	db := c.open()
	defer c.close(db)
	o := Op{Kind: "last", Outcome: Done, Call: now()}
	keys := make([]int, c.plan.Keys)
	for i := range keys {
		keys[i] = i
	}
	if err := o.sawMany(context.Background(), db, keys); err != nil {
		c.t.Fatal(err)
	}
	o.Return = now()
	return o
}

// seen returns the state that the operation saw.
func (o *Op) seen() (s State) {
	for _, r := range o.Reads {
		s[r.Key] = r.Value
	}
	return s
}

// victim returns whom the event is for. There must be somebody left to go on.
func (c *campaign) victim(e Event, alive []*child) (p *child, led bool) {
	if len(alive) < 2 {
		return nil, false
	}
	c.mu.Lock()
	leader := c.leader
	c.mu.Unlock()
	if p = leader; !e.Leader || !slices.Contains(alive, leader) {
		p = alive[e.Which%len(alive)]
	}
	return p, p == leader
}

func (c *campaign) start(n int, r Round) *child {
	p := &child{
		index: c.index, ready: make(chan struct{}), over: make(chan struct{}),
		history: filepath.Join(c.logs, fmt.Sprintf("round%d-process%d", n, c.index)),
	}
	c.index++
	arg, err := json.Marshal(job{
		Dir: c.dir, History: p.history, Way: c.Way.Name, Index: p.index, Seed: c.plan.Seed,
		Keys: c.plan.Keys, Clients: r.Clients, Handles: r.Handles, Pause: r.Pause, Ballast: c.plan.Ballast, Lie: c.Lie,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	p.Process = partytest.Start(c.t, Helper, string(arg))
	c.mu.Lock()
	c.all = append(c.all, p)
	c.mu.Unlock()
	go func() {
		defer close(p.over)
		for {
			var r report
			if !p.Report(&r) {
				return
			}
			c.mu.Lock()
			switch r.Kind {
			case "ready":
				close(p.ready)
			case "role":
				if r.Text == party.Leader.String() {
					c.leader = p
				}
			case "error":
				c.errs = append(c.errs, r.Text)
			case "hang":
				// All print what their goroutines do, and end.
				if c.errs = append(c.errs, r.Text); !c.hung {
					c.hung = true
					for _, p := range c.all {
						_ = p.Signal(unix.SIGQUIT)
					}
				}
			}
			c.mu.Unlock()
		}
	}()
	return p
}

func (p *child) kill() {
	p.killed = true
	p.KillKeep()
}

// stop stops the process for a time, and then lets it go on, or kills it.
func (p *child) stop(d time.Duration, kill bool) {
	p.goOn()
	_ = p.Signal(unix.SIGSTOP) // it may have been killed
	p.killed = p.killed || kill
	p.stopped = time.AfterFunc(d, func() {
		p.until.Lock()
		defer p.until.Unlock()
		if kill {
			p.KillKeep()
		} else {
			_ = p.Signal(unix.SIGCONT)
		}
	})
}

// goOn ends a stop.
func (p *child) goOn() {
	if p.stopped != nil && p.stopped.Stop() {
		_ = p.Signal(unix.SIGCONT)
	}
	p.until.Lock() // the timer's function has ended, if it began
	defer p.until.Unlock()
	p.stopped = nil
}

// end ends the process in order.
func (p *child) end(order string) {
	p.goOn()
	p.Order(order)
}
