//go:build linux

package soak

import (
	"encoding/json"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/partytest"
)

// crowd is the processes of an era.
type crowd struct {
	r     *run
	t     *testing.T
	alive []*child // guarded by r.mu
	last  *child   // the last that became leader; guarded by r.mu
}

// child is a process, seen by the parent.
type child struct {
	*partytest.Process
	way     way
	slot    int
	born    time.Time
	ready   chan struct{} // closed when it works
	leads   chan struct{} // closed when it leads for the first time
	over    chan struct{} // closed when its reports have ended
	stopped *time.Timer   // goes on then; guarded by r.mu
	did     stats         // guarded by r.mu
	leaving bool          // we have ended it; guarded by r.mu
}

// start starts a process in a free slot. It returns nil if there is none.
func (c *crowd) start(w way) *child {
	slot := c.free(w)
	if slot < 0 {
		return nil
	}
	b := c.r.board
	gen := b.begin(slot)
	p := &child{
		way: w, slot: slot, born: time.Now(),
		ready: make(chan struct{}), leads: make(chan struct{}), over: make(chan struct{}),
	}
	if w.node {
		b.word(wordNodes).Add(1)
		b.set(wordNodeEra, b.get(wordEra))
		p.Process = partytest.Node(c.t, "soak.js", w.name, c.r.dir, b.path, strconv.Itoa(slot), strconv.FormatUint(gen, 10))
	} else {
		arg, err := json.Marshal(job{
			Dir: c.r.dir, Board: b.path, State: c.r.state, Way: w.name, Slot: slot, Gen: gen, Seed: c.r.seed,
			Hold: c.r.pick(time.Minute, 3*time.Second),
		})
		if err != nil {
			c.t.Fatal(err)
		}
		p.Process = partytest.Start(c.t, "work", string(arg))
	}
	c.r.mu.Lock()
	c.alive = append(c.alive, p)
	c.r.tally.joins++
	c.r.mu.Unlock()
	go c.listen(p)
	return p
}

// free returns a slot for a process: the first two are for the old ones.
func (c *crowd) free(w way) int {
	for slot := range slots {
		old := slot == oldMember || slot == oldGuest
		if old == (w.name == ways[slot].name) && !slices.ContainsFunc(c.living(), func(p *child) bool { return p.slot == slot }) {
			return slot
		}
	}
	return -1
}

// living returns those that have not been ended, in the order of their births.
func (c *crowd) living() []*child {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	return slices.Clone(c.alive)
}

// leader returns the last process that became leader, nil if it lives no more.
func (c *crowd) leader() *child {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	if slices.Contains(c.alive, c.last) {
		return c.last
	}
	return nil
}

// listen reads a process's reports to their end.
func (c *crowd) listen(p *child) {
	defer close(p.over)
	led := false
	for {
		var m report
		if !p.Report(&m) {
			break
		}
		switch m.Kind {
		case "ready":
			close(p.ready)
		case "role":
			if m.Text == party.Leader.String() {
				c.r.count(func(t *tally) { t.elections++ })
				c.r.mu.Lock()
				c.last = p
				c.r.mu.Unlock()
				if !led {
					close(p.leads)
				}
				led = true
			}
		case "stats":
			c.r.mu.Lock()
			was := p.did
			p.did = *m.Stats
			c.r.tally.did.add(was.to(p.did))
			c.r.mu.Unlock()
		case "lie":
			c.r.lie("%s", m.Text)
		case "hang":
			c.r.lie("%s", m.Text)
			c.r.mu.Lock()
			c.r.hanging = true
			c.r.mu.Unlock()
		case "npm":
			if !c.r.board.nodeLed() {
				c.r.lie("%s in slot %d, with no Node process that led: %s", p.way.name, p.slot, m.Text)
			}
			c.r.count(func(t *tally) { t.npm++ })
			if n := c.r.tallied().npm; n <= 20 {
				show(c.t, p.way.name+" says: "+m.Text)
			}
		}
	}
	c.r.mu.Lock()
	leaving := p.leaving
	c.remove(p)
	c.r.mu.Unlock()
	if !leaving {
		c.r.lie("%s in slot %d (pid %d, leader: %v) ended by itself: %v", p.way.name, p.slot, p.PID(), led, p.Wait())
	}
}

// remove takes a process off the living. REQUIRES: r.mu is held.
func (c *crowd) remove(p *child) {
	c.alive = slices.DeleteFunc(c.alive, func(o *child) bool { return o == p })
}

// to returns what was done from s to later.
func (s stats) to(later stats) stats {
	return stats{
		Ops: later.Ops - s.Ops, Unknown: later.Unknown - s.Unknown, Conflicts: later.Conflicts - s.Conflicts,
		Watched: later.Watched - s.Watched, Compared: later.Compared - s.Compared, Gaps: later.Gaps - s.Gaps,
		Held: later.Held - s.Held, Lost: later.Lost - s.Lost,
	}
}

// kill kills a process as kill -9 does, also while it is stopped, and waits until
// it is gone: its slot is free then.
func (c *crowd) kill(p *child) {
	c.r.mu.Lock()
	p.leaving = true
	if p.stopped != nil {
		p.stopped.Stop()
	}
	c.r.mu.Unlock()
	p.KillKeep()
	<-p.over
	_ = p.Wait()
}

// leave takes a process off the living, and lets it go on if it is stopped.
func (c *crowd) leave(p *child) {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	p.leaving = true
	if p.stopped != nil {
		p.stopped.Stop()
		_ = p.Signal(unix.SIGCONT)
	}
}

// stop stops a process for a time.
func (c *crowd) stop(p *child, d time.Duration) {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	if p.stopped != nil {
		return // it is, still
	}
	_ = p.Signal(unix.SIGSTOP)
	p.stopped = time.AfterFunc(d, func() {
		c.r.mu.Lock()
		defer c.r.mu.Unlock()
		p.stopped = nil
		_ = p.Signal(unix.SIGCONT)
	})
}

// end ends a process in order. Whether it does is seen by its exit.
func (c *crowd) end(p *child, order string) {
	c.leave(p)
	p.Order(order)
	select {
	case <-p.over:
	case <-time.After(patience):
		c.r.lie("%s in slot %d does not end", p.way.name, p.slot)
		_ = p.Signal(unix.SIGQUIT)
		<-p.over
	}
	if err := p.Wait(); err != nil && !p.way.node {
		c.r.lie("%s in slot %d ended with %v", p.way.name, p.slot, err)
	}
}

// killAll kills all at once.
func (c *crowd) killAll() {
	c.r.mu.Lock()
	hanging := c.r.hanging
	c.r.mu.Unlock()
	alive := c.living()
	for _, p := range alive {
		c.leave(p)
		if hanging && !p.way.node {
			_ = p.Signal(unix.SIGQUIT) // it prints what its goroutines do
		} else {
			p.KillKeep()
		}
	}
	for _, p := range alive {
		<-p.over
		_ = p.Wait()
	}
}

func (r *run) tallied() tally {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tally
}
