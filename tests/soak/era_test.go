//go:build linux

package soak

import (
	"slices"
	"testing"
	"time"
)

// era runs an era.
func (r *run) era(t *testing.T) {
	c := &crowd{r: r, t: t}
	r.board.set(wordNodes, 0)
	r.board.set(wordEra, r.board.get(wordEra)+1)
	r.mu.Lock()
	r.crowd = c
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.crowd = nil
		r.mu.Unlock()
	}()
	// Some are long, so that the old ones get old.
	length := []time.Duration{1, 2, 2, 3, 3, 4, 5, 15}[r.rnd.IntN(8)] * r.pick(time.Minute, time.Second)
	nodes := r.node && r.rnd.IntN(3) > 0
	if nodes && r.rnd.IntN(3) == 0 {
		// It leads at first, and all others are its guests.
		p := c.start(r.pickWay(true, func(w way) bool { return w.node }))
		c.await(p, p.leads)
	}
	c.start(r.pickWay(nodes, func(w way) bool { return !w.node }))
	c.start(r.pickWay(nodes, way.takesLead))
	c.start(ways[oldMember])
	c.start(ways[oldGuest])
	for range 1 + r.rnd.IntN(3) {
		c.start(r.pickWay(nodes, nil))
	}
	for _, p := range c.living() {
		if !p.way.node { // which of one package must wait while the other leads
			c.await(p, p.ready)
		}
	}
	for end := time.Now().Add(length); time.Now().Before(end) && r.ctx.Err() == nil; {
		r.sleep(time.Duration(r.rnd.ExpFloat64() * float64(r.pick(2500*time.Millisecond, 300*time.Millisecond))))
		if r.ctx.Err() == nil {
			r.event(c, nodes)
		}
	}
	r.dead.Lock()
	defer r.dead.Unlock()
	c.killAll()
	r.count(func(t *tally) { t.alls++ })
	if len(r.told()) == 0 && !t.Failed() {
		r.offline(t)
	}
}

// pickWay picks how a process is to hold the database.
func (r *run) pickWay(nodes bool, only func(w way) bool) way {
	var some []way
	for _, w := range ways {
		if w.node && !nodes || only != nil && !only(w) {
			continue
		}
		for range w.share {
			some = append(some, w)
		}
	}
	return findWay(some[r.rnd.IntN(len(some))].name)
}

// await waits until a process is as far, or has ended.
func (c *crowd) await(p *child, what chan struct{}) {
	select {
	case <-what:
	case <-p.over:
	case <-c.r.ctx.Done():
	case <-time.After(patience):
		c.r.lie("%s in slot %d does not begin", p.way.name, p.slot)
		c.r.mu.Lock()
		c.r.hanging = true
		c.r.mu.Unlock()
	}
}

func (r *run) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.ctx.Done():
	}
}

// event has something happen to a process.
func (r *run) event(c *crowd, nodes bool) {
	alive := slices.DeleteFunc(c.living(), func(p *child) bool { return p.slot == oldMember || p.slot == oldGuest })
	if !c.hasHeir() || len(alive) < 2 {
		r.join(c, nodes)
		return
	}
	p := alive[r.rnd.IntN(len(alive))]
	leader := c.leader()
	if r.rnd.IntN(2) == 0 && slices.Contains(alive, leader) {
		p = leader
	}
	kind := r.rnd.IntN(20)
	if p == leader && kind < 16 {
		r.count(func(t *tally) { t.leaders++ })
	}
	switch {
	case kind < 8:
		r.count(func(t *tally) { t.kills++ })
		c.kill(p)
	case kind < 11:
		d := time.Duration(1+r.rnd.IntN(300)) * time.Millisecond
		if r.rnd.IntN(6) == 0 {
			d *= 10
		}
		if r.rnd.IntN(8) == 0 {
			old := slices.DeleteFunc(c.living(), func(p *child) bool { return slices.Contains(alive, p) })
			p = old[r.rnd.IntN(len(old))]
		}
		r.count(func(t *tally) { t.stops++ })
		c.stop(p, d)
		return
	case kind < 12: // stopped, and then killed
		r.count(func(t *tally) { t.kills++; t.stops++ })
		c.stop(p, patience)
		r.sleep(time.Duration(r.rnd.IntN(500)) * time.Millisecond)
		c.kill(p)
	case kind < 14:
		r.count(func(t *tally) { t.ends++ })
		c.end(p, orderEnd)
	case kind < 16:
		r.count(func(t *tally) { t.ends++ })
		c.end(p, orderClose)
	default:
		r.join(c, nodes)
		return
	}
	if r.rnd.IntN(4) > 0 || !c.hasHeir() {
		r.join(c, nodes)
	}
}

// join starts a process.
func (r *run) join(c *crowd, nodes bool) {
	if !c.hasHeir() {
		// Beside a member that never leads nobody else can, but a member.
		c.start(r.pickWay(false, way.takesLead))
		return
	}
	c.start(r.pickWay(nodes, nil))
}

// hasHeir reports whether some process can lead while there are members.
func (c *crowd) hasHeir() bool {
	return slices.ContainsFunc(c.living(), func(p *child) bool { return p.way.takesLead() })
}
