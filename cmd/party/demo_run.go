package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"
)

// demo is one run. Its state belongs to the goroutine of run; processes reach
// it through events.
type demo struct {
	o        demoOptions
	dir      string // the database
	rnd      *rand.Rand
	view     demoView
	children []*demoChild // the writers, then the reader
	events   chan demoEvent
	running  sync.WaitGroup

	start   time.Time // when all processes were at work; zero before
	ended   time.Time
	kills   []*demoKill
	history []float64     // operations of all processes per second, a sample per tick
	quiet   time.Duration // longest pause that no kill explains
	failed  []string      // calls that failed, and processes that ended unasked
}

// demoKill is the death of a leader.
type demoKill struct {
	at        time.Time
	name      string // whose process it was
	pid       int
	survivors map[*demoProcess]bool
	waited    time.Duration // longest pause of a survivor
	next      string        // who led next, "" as long as nobody does
	nextPID   int
	told      bool // by a view that tells each once
}

const (
	demoTick = 100 * time.Millisecond
	// demoBlame is how soon after a kill a pause must begin to be its effect.
	// Too long blames it for what the scheduler does, which is the honest side
	// to err on.
	demoBlame = 50 * time.Millisecond
	// demoPatience bounds the waits for processes to come and go.
	demoPatience = 15 * time.Second
)

// prepare makes the places of the processes; their files go in dir.
func (d *demo) prepare(dir string) error {
	for i := range d.o.writers {
		j, err := openJournal(filepath.Join(dir, fmt.Sprintf("acknowledged-%d", i+1)))
		if err != nil {
			return err
		}
		d.children = append(d.children, &demoChild{writer: i + 1, journal: j, first: 1, skipped: map[uint64]bool{}})
	}
	d.children = append(d.children, &demoChild{first: 1})
	return nil
}

// run lets the processes work, kills and restarts, and ends them.
func (d *demo) run(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			d.abandon()
		}
	}()
	for _, c := range d.children {
		if err := d.spawn(c); err != nil {
			return fmt.Errorf("starting a process: %w", err)
		}
	}
	tick := time.NewTicker(demoTick)
	defer tick.Stop()
	spawned := time.Now()
	var schedule []time.Time
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case e := <-d.events:
			if err := d.handle(e); err != nil {
				return err
			}
		case <-tick.C:
		}
		now := time.Now()
		if d.start.IsZero() {
			if d.allAtWork() {
				d.start = now
				schedule = d.schedule()
				d.view.started()
			} else if now.Sub(spawned) > demoPatience {
				return fmt.Errorf("not all processes are at work after %v", demoPatience)
			}
			continue
		}
		if now.Sub(d.start) >= d.o.duration && len(schedule) == 0 {
			d.ended = now
			return d.finish(ctx)
		}
		// A kill that is due waits for a leader to be there.
		if len(schedule) > 0 && now.After(schedule[0]) && d.killLeader(now) {
			schedule = schedule[1:]
		}
		if err := d.restartDue(now); err != nil {
			return err
		}
		d.view.update(now)
	}
}

// schedule spreads the kills over the time, a little irregularly.
func (d *demo) schedule() (at []time.Time) {
	spacing := float64(d.o.spacing())
	for i := range d.o.kills {
		jitter := 0.4*d.rnd.Float64() - 0.2
		at = append(at, d.start.Add(time.Duration(spacing*(float64(i+1)+jitter))))
	}
	return at
}

func (d *demo) allAtWork() bool {
	for _, c := range d.children {
		if c.proc == nil || c.proc.ops == 0 {
			return false
		}
	}
	return true
}

// leader returns the place whose process leads.
func (d *demo) leader() *demoChild {
	for _, c := range d.children {
		if c.proc != nil && c.role == "leader" {
			return c
		}
	}
	return nil
}

// killLeader kills the process that leads, and reports whether there was one.
func (d *demo) killLeader(now time.Time) bool {
	victim := d.leader()
	if victim == nil {
		return false
	}
	k := &demoKill{at: now, name: victim.name(), pid: victim.proc.pid, survivors: map[*demoProcess]bool{}}
	for _, c := range d.children {
		if c.proc != nil && c != victim {
			k.survivors[c.proc] = true
		}
	}
	k.at = time.Now()
	if err := victim.proc.cmd.Process.Kill(); err != nil {
		return false
	}
	victim.proc.killed, victim.role = true, "killed"
	victim.restart = now.Add(min(time.Second, d.o.spacing()/3))
	victim.rate.reset()
	d.kills = append(d.kills, k)
	d.view.killed(k)
	return true
}

func (d *demo) restartDue(now time.Time) error {
	for _, c := range d.children {
		if c.proc == nil && now.After(c.restart) {
			if err := d.spawn(c); err != nil {
				return fmt.Errorf("restarting %s: %w", c.name(), err)
			}
			d.view.restarted(c)
		}
	}
	return nil
}

// handle takes an event into account.
func (d *demo) handle(e demoEvent) error {
	p, c := e.proc, e.proc.child
	if e.report == nil {
		if !p.killed && d.ended.IsZero() {
			// Nothing was to end it: what it said is worth more than our sum.
			return fmt.Errorf("%s, process %d, ended: %v\n%s", c.name(), p.pid, e.ended, p.stderr.String())
		}
		return c.buried()
	}
	r := e.report
	p.ops, p.stale = r.Ops, r.Stale
	if r.Failed != "" {
		d.failed = append(d.failed, fmt.Sprintf("%s, process %d: %s", c.name(), p.pid, r.Failed))
	}
	for _, pause := range r.Pauses {
		d.blame(p, pause)
	}
	if p.killed || !d.ended.IsZero() {
		return nil // last words
	}
	c.rate.add(r.Time, r.Ops)
	if r.Role != "" {
		c.role = r.Role
		if len(d.kills) > 0 && r.Role == "leader" {
			if k := d.kills[len(d.kills)-1]; k.next == "" {
				k.next, k.nextPID = c.name(), p.pid
			}
		}
		d.view.role(c)
	}
	return nil
}

// blame finds the kill that a pause of p is due to, if there is one.
func (d *demo) blame(p *demoProcess, pause demoPause) {
	long := time.Duration(pause.To - pause.From)
	if d.start.IsZero() || pause.From < d.start.UnixNano() ||
		!d.ended.IsZero() && pause.To > d.ended.UnixNano() {
		return // before the show begins, or while all come to an end
	}
	explained := false
	for _, k := range d.kills {
		at := k.at.UnixNano()
		if pause.To >= at && pause.From <= at+int64(demoBlame) {
			explained = true
			if k.survivors[p] {
				k.waited = max(k.waited, long)
			}
		}
	}
	if !explained {
		d.quiet = max(d.quiet, long)
	}
	p.child.longest = max(p.child.longest, long)
}

// finish lets the processes end in order.
func (d *demo) finish(ctx context.Context) error {
	for _, c := range d.children {
		if c.proc != nil && !c.proc.killed {
			io.WriteString(c.proc.stdin, "stop\n")
		}
	}
	late := time.NewTimer(demoPatience)
	defer late.Stop()
	for {
		left := 0
		for _, c := range d.children {
			if c.proc != nil {
				left++
			}
		}
		if left == 0 {
			d.running.Wait()
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-late.C:
			return fmt.Errorf("%d processes did not stop within %v", left, demoPatience)
		case e := <-d.events:
			if err := d.handle(e); err != nil {
				return err
			}
		}
	}
}

// abandon kills what is left, without ceremony.
func (d *demo) abandon() {
	for _, c := range d.children {
		if c.proc != nil {
			c.proc.cmd.Process.Kill()
		}
	}
	go func() {
		d.running.Wait()
		close(d.events)
	}()
	for range d.events { // until all have ended
	}
}

// sample appends to the history what all processes do at present.
func (d *demo) sample() {
	sum := 0.0
	for _, c := range d.children {
		sum += c.rate.recent()
	}
	d.history = append(d.history, sum)
}

// rates are operations per second, of the writers and the reader.
func (d *demo) rates() (puts, gets float64) {
	for _, c := range d.children {
		if c.writer > 0 {
			puts += c.rate.perSecond()
		} else {
			gets += c.rate.perSecond()
		}
	}
	return puts, gets
}
