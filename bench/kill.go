package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// victim says who is killed.
type victim string

const (
	leading victim = "the leader"
	random  victim = "any process"
	// writing is killed while it puts without pause, so that it often dies inside
	// a write.
	writing victim = "a process that puts without pause"
)

// gaps are the longest times that survivors went without a successful call when
// a process was killed, one for each kill and survivor. A survivor reads and
// writes in two threads, each with a pause of pace between calls that is part of
// the gap.
type gaps struct {
	Peer   string
	Victim victim
	Kills  int
	Reads  []time.Duration
	Writes []time.Duration
	// The same in as long a time before, when nobody was killed: what the machine
	// adds.
	QuietReads  []time.Duration
	QuietWrites []time.Duration
	// Faults are kills after which somebody died or stood still.
	Faults []string `json:",omitempty"`
}

const (
	pace = 250 * time.Microsecond
	// killWindow is how long gaps are looked for after a kill, at least.
	killWindow = 300 * time.Millisecond
	// standstill is how long survivors may go without success.
	standstill = 30 * time.Second
)

// taker is what a process of the suite tells of itself, as JSON.
type taker struct {
	Leads  bool
	Reads  calls
	Writes calls
}

// calls are those of one thread.
type calls struct {
	N       int64
	Last    int64 // the last success, Unix nanoseconds
	Longest int64 // the longest time between two since it was last reset
}

// kill kills processes while the others get and put.
func (b *bench) kill(ctx context.Context, peers []peer, r *results) error {
	for _, p := range peers {
		for _, v := range p.info().victims {
			g, err := b.killOf(ctx, p, v)
			if err != nil {
				r.fault(fmt.Sprintf("%s, %s killed", p.info().name, v), err)
				continue
			}
			r.Kills = append(r.Kills, g)
		}
	}
	return nil
}

func (b *bench) killOf(ctx context.Context, p peer, v victim) (g *gaps, err error) {
	g = &gaps{Peer: p.info().name, Victim: v}
	dir := filepath.Join(b.tmp, "kill")
	if err := p.prepare(b, dir, b.killKeys); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	band := &band{start: func() (*child, error) { return start(p.info().name, p.info().taker(b, dir)) }}
	defer band.killAll()
	for g.Kills < b.kills {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := band.fill(b.survivors + 1); err != nil {
			return nil, err
		}
		g.Kills++
		err := band.round(v, g)
		if err != nil {
			g.Faults = append(g.Faults, err.Error())
			band.killAll()
		}
		last := func(d []time.Duration) []time.Duration { return d[max(0, len(d)-b.survivors):] }
		progress("%s: %s killed, %d of %d; without a write %v, a read %v %s", g.Peer, v, g.Kills, b.kills,
			last(g.Writes), last(g.Reads), errText(err))
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

// ask asks all children.
func (b *band) ask(line string) (told []taker, err error) {
	for _, c := range b.children {
		var t taker
		if err := c.ask(line, 0, &t); err != nil {
			return nil, err
		}
		told = append(told, t)
	}
	return told, nil
}

// round kills one process as kill -9 does, waits until all others have been
// served since, by the next leader if there must be one, and adds the longest
// gap of each to g.
func (b *band) round(v victim, g *gaps) error {
	leader, err := b.leader()
	if err != nil {
		return err
	}
	who := leader
	switch v {
	case random:
		who = rand.IntN(len(b.children))
	case writing:
		if who = rand.IntN(len(b.children) - 1); who >= leader {
			who++
		}
	}
	target := b.children[who]
	if v == writing {
		if err := target.ask("busy", 0, nil); err != nil {
			return err
		}
	}
	// Who joined last has settled, and logs have grown, when this is over.
	if _, err := b.ask("reset"); err != nil {
		return err
	}
	time.Sleep(killWindow)
	if _, err := b.ask("reset"); err != nil {
		return err
	}
	time.Sleep(killWindow)
	quiet, err := b.ask("reset")
	if err != nil {
		return err
	}
	b.children = slices.Delete(b.children, who, who+1)
	for _, t := range slices.Delete(quiet, who, who+1) {
		g.QuietReads = append(g.QuietReads, time.Duration(t.Reads.Longest))
		g.QuietWrites = append(g.QuietWrites, time.Duration(t.Writes.Longest))
	}
	killed := time.Now()
	target.kill()

	var led time.Time // when somebody was seen to lead
	for {
		time.Sleep(20 * time.Millisecond)
		told, err := b.ask("tell")
		if err != nil {
			return err
		}
		if led.IsZero() && slices.ContainsFunc(told, func(t taker) bool { return t.Leads }) {
			led = time.Now()
			continue
		}
		waits := func(t taker) bool {
			return led.IsZero() || min(t.Reads.Last, t.Writes.Last) <= led.UnixNano()
		}
		over := time.Since(killed) > killWindow && !slices.ContainsFunc(told, waits)
		late := time.Since(killed) > standstill
		if !over && !late {
			continue
		}
		for _, t := range told {
			g.Reads = append(g.Reads, sinceLast(t.Reads, late))
			g.Writes = append(g.Writes, sinceLast(t.Writes, late))
		}
		if late {
			return fmt.Errorf("somebody had no success for %v", standstill)
		}
		return nil
	}
}

// sinceLast is the longest gap of c, one that has not ended included if it is
// late.
func sinceLast(c calls, late bool) time.Duration {
	longest := time.Duration(c.Longest)
	if late {
		longest = max(longest, time.Since(time.Unix(0, c.Last)))
	}
	return longest
}

// leader waits until a child leads.
func (b *band) leader() (int, error) {
	for deadline := time.Now().Add(standstill); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		told, err := b.ask("tell")
		if err != nil {
			return 0, err
		}
		if i := slices.IndexFunc(told, func(t taker) bool { return t.Leads }); i >= 0 {
			return i, nil
		}
	}
	return 0, errors.New("nobody leads")
}
