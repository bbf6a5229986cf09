package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// failoverKeys make a database of about 100 MB.
const failoverKeys = 860_000

// gaps are the times without a successful call that survivors saw when their
// leader was killed, one for each kill and survivor.
type gaps struct {
	Peer  string
	Gaps  []time.Duration
	Kills int
	// Faults are kills after which somebody died or stood still.
	Faults []string `json:",omitempty"`
}

// standstill is how long survivors may go without success.
const standstill = 30 * time.Second

// caller is what a process of the suite tells of itself, as JSON.
type caller struct {
	Leads   bool
	Last    int64 // the last success, Unix nanoseconds
	Longest int64 // the longest time between two since it was last reset
	Ops     int64
}

// failover kills leaders while the other processes get and put.
func (b *bench) failover(ctx context.Context, peers []peer, r *results) error {
	for _, p := range peers {
		if p.info().failover == nil {
			continue
		}
		g, err := b.failoverOf(ctx, p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.info().name, err)
		}
		r.Failover = append(r.Failover, g)
	}
	return nil
}

func (b *bench) failoverOf(ctx context.Context, p peer) (g *gaps, err error) {
	g = &gaps{Peer: p.info().name}
	dir := filepath.Join(b.tmp, "failover")
	if err := b.copyTemplate(dir, failoverKeys); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	band := &band{start: func() (*child, error) { return start(p.info().name, p.info().failover(b, dir)) }}
	defer band.killAll()
	for range b.kills {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := band.fill(b.survivors + 1); err != nil {
			return nil, err
		}
		// Let the leader's log grow.
		time.Sleep(time.Second)
		saw, err := band.killLeader()
		g.Kills++
		g.Gaps = append(g.Gaps, saw...)
		if err != nil {
			g.Faults = append(g.Faults, err.Error())
			band.killAll()
		}
		progress("%s: leader %d of %d killed; gaps %v %v", g.Peer, g.Kills, b.kills, saw, errText(err))
	}
	return g, nil
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// band is the processes that share one database.
type band struct {
	start    func() (*child, error)
	children []*child
}

func (b *band) fill(n int) error {
	for len(b.children) < n {
		c, err := b.start()
		if err != nil {
			return err
		}
		b.children = append(b.children, c)
	}
	return nil
}

func (b *band) killAll() {
	for _, c := range b.children {
		c.kill()
	}
	b.children = nil
}

// killLeader kills the leader as kill -9 does, waits until each survivor is
// served by the next, and returns the longest gap of each.
func (b *band) killLeader() (saw []time.Duration, err error) {
	leader := -1
	for deadline := time.Now().Add(standstill); leader < 0; {
		for i, c := range b.children {
			var s caller
			if err := c.ask("tell", 0, &s); err != nil {
				return nil, err
			}
			if s.Leads {
				leader = i
			}
		}
		if time.Now().After(deadline) {
			return nil, errors.New("nobody leads")
		}
	}
	victim := b.children[leader]
	b.children = slices.Delete(b.children, leader, leader+1)
	for _, c := range b.children {
		if err := c.ask("reset", 0, nil); err != nil {
			return nil, err
		}
	}
	killed := time.Now()
	victim.kill()

	// A gap is over when its end lies behind the beginning of the next lead. The
	// new leader's own is over when it leads.
	var led time.Time
	over := make([]bool, len(b.children))
	longest := make([]time.Duration, len(b.children))
	for slices.Contains(over, false) {
		time.Sleep(5 * time.Millisecond)
		late := time.Since(killed) > standstill
		for i, c := range b.children {
			var s caller
			if err := c.ask("tell", 0, &s); err != nil {
				return nil, err
			}
			if s.Leads && led.IsZero() {
				led = time.Now()
			}
			if !over[i] && (s.Leads || !led.IsZero() && s.Last > led.UnixNano()) {
				over[i], longest[i] = true, time.Duration(s.Longest)
			}
			if !over[i] && late {
				over[i], longest[i] = true, time.Since(killed)
				err = fmt.Errorf("no success for %v", standstill)
			}
		}
	}
	return longest, err
}
