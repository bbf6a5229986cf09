package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// outcome is what one workload on one peer, in a number of processes, came to.
type outcome struct {
	Peer, Workload string
	Processes      int
	PerSecond      []float64 // of all processes together, in each round
	Latencies      histogram // of all rounds
	Puts           []float64 `json:",omitempty"` // per second, of the process that writes meanwhile
	Ways           []string  `json:",omitempty"` // by which processes reached the database
}

// throughput lets every peer do every workload, in turn, on a database that
// another process made.
func (b *bench) throughput(ctx context.Context, peers []peer, r *results) error {
	for round := range b.rounds {
		for _, w := range workloads {
			if !slices.Contains(b.workloads, w.name) {
				continue
			}
			for _, n := range b.processes {
				for _, p := range peers {
					if _, cannot := p.info().cannot[w.name]; cannot || p.info().alone && n > 1 {
						continue
					}
					if ctx.Err() != nil {
						return ctx.Err()
					}
					o := r.outcome(p.info().name, w.name, n)
					if err := b.measure(p, w, n, o); err != nil {
						r.fault(fmt.Sprintf("%s, %s, %d process(es)", p.info().name, w.name, n), err)
						continue
					}
					progress("%d/%d %-16s %d process(es) %-13s %10.0f %s, p50 %v, p99 %v", round+1, b.rounds, w.name, n, p.info().name,
						o.PerSecond[len(o.PerSecond)-1], w.unit, o.Latencies.percentile(50), o.Latencies.percentile(99))
				}
			}
		}
	}
	return nil
}

// measure runs one workload on one peer in n processes, once, and adds what came
// of it to o.
func (b *bench) measure(p peer, w workload, n int, o *outcome) (err error) {
	name, keys := p.info().name, b.keys
	if w.big {
		keys = b.bigKeys
	}
	// Who only reads can have the database of the round before.
	dir := filepath.Join(b.tmp, fmt.Sprintf("read-%s-%d", name, keys))
	if gp, ok := p.(*goPeer); w.changes() || ok && gp.filledBy == "" {
		dir = filepath.Join(b.tmp, "db")
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if _, err := os.Stat(dir); err != nil {
		if err := p.prepare(b, dir, keys); err != nil {
			return err
		}
	}
	var children []*child
	defer func() {
		slices.Reverse(children) // workers first
		err = errors.Join(err, stopAll(children...))
	}()
	if cmd := p.server(b, dir, keys); cmd != nil {
		b.profiled(&cmd.Env, name, w.name, itoa(n)+"-server")
		server, err := start(name+" server", cmd)
		if err != nil {
			return err
		}
		children = append(children, server)
	}
	worker := func(j job) (*child, error) {
		j.Batch, j.Keys = batchSize, keys
		text, err := json.Marshal(j)
		if err != nil {
			return nil, err
		}
		cmd := p.worker(b, dir, string(text))
		b.profiled(&cmd.Env, name, w.name, itoa(n)+"-worker"+itoa(j.Worker))
		c, err := start(name+" worker", cmd)
		if err == nil {
			children = append(children, c)
		}
		return c, err
	}
	var workers []*child
	for i := range n {
		c, err := worker(job{Op: w.Op, InFlight: w.InFlight, Sync: w.Sync, Worker: i, Warmup: b.warmup, Duration: b.duration})
		if err != nil {
			return err
		}
		workers = append(workers, c)
	}
	if w.writer {
		c, err := worker(job{Op: opPut, InFlight: 1, Worker: n, Duration: b.warmup + b.duration})
		if err != nil {
			return err
		}
		workers = append(workers, c)
	}
	for _, c := range workers {
		if err := c.tell("go"); err != nil {
			return err
		}
	}
	perSecond := 0.0
	for i, c := range workers {
		var m measurement
		if err := c.answer(b.warmup+b.duration, &m); err != nil {
			return err
		}
		if i == n {
			o.Puts = append(o.Puts, float64(m.Ops)/m.Seconds)
			continue
		}
		perSecond += float64(m.Ops) / m.Seconds
		o.Latencies.merge(m.Latencies)
		if m.Way != "" && !slices.Contains(o.Ways, m.Way) {
			o.Ways = append(o.Ways, m.Way)
		}
	}
	if perSecond == 0 {
		return fmt.Errorf("no call began in %v, so long did those of the warm-up take", b.duration)
	}
	o.PerSecond = append(o.PerSecond, perSecond)
	return nil
}

// profiled has a child write a profile, if that is wanted.
func (b *bench) profiled(env *[]string, peer, workload, role string) {
	if b.profiles == "" {
		return
	}
	if *env == nil {
		*env = os.Environ()
	}
	*env = append(*env, profileVariable+"="+filepath.Join(b.profiles, peer+"-"+workload+"-"+role+".pprof"))
}

func itoa(i int) string { return strconv.Itoa(i) }
