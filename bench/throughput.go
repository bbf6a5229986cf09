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

// outcome is what one workload on one peer came to.
type outcome struct {
	Peer, Workload string
	PerSecond      []float64 // of each round
	Latencies      histogram // of all rounds
}

// throughput lets every peer do every workload, in turn, on a database of its
// own that is made for it.
func (b *bench) throughput(ctx context.Context, peers []peer, r *results) error {
	if _, err := b.template(b.keys); err != nil {
		return err
	}
	for round := range b.rounds {
		for _, w := range workloads {
			if !slices.Contains(b.workloads, w.name) {
				continue
			}
			for _, p := range peers {
				if _, cannot := p.info().cannot[w.name]; cannot {
					continue
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
				perSecond, latencies, err := b.measure(p, w)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", p.info().name, w.name, err)
				}
				o := r.outcome(p.info().name, w.name)
				o.PerSecond = append(o.PerSecond, perSecond)
				o.Latencies.merge(latencies)
				progress("%d/%d %-14s %-13s %10.0f %s, p50 %v, p99 %v", round+1, b.rounds, w.name, p.info().name, perSecond, w.unit,
					latencies.percentile(50), latencies.percentile(99))
			}
		}
	}
	return nil
}

// measure runs one workload on one peer.
func (b *bench) measure(p peer, w workload) (perSecond float64, latencies histogram, err error) {
	dir := filepath.Join(b.tmp, "db")
	if err := p.prepare(b, dir, b.keys); err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	name := p.info().name
	var children []*child
	defer func() {
		slices.Reverse(children) // workers first
		err = errors.Join(err, stopAll(children...))
	}()
	if cmd := p.server(b, dir, b.keys); cmd != nil {
		b.profiled(&cmd.Env, name, w.name, "server")
		server, err := start(name+" server", cmd)
		if err != nil {
			return 0, nil, err
		}
		children = append(children, server)
	}
	workers := b.workers
	if p.server(b, dir, b.keys) == nil {
		workers = 1 // it shares with nobody
	}
	first := len(children)
	for i := range workers {
		j := job{Op: w.Op, InFlight: w.InFlight, Sync: w.Sync, Batch: batchSize, Keys: b.keys, Worker: i,
			Warmup: b.warmup, Duration: b.duration}
		text, err := json.Marshal(j)
		if err != nil {
			return 0, nil, err
		}
		cmd := p.worker(b, dir, string(text))
		b.profiled(&cmd.Env, name, w.name, "worker"+itoa(i))
		c, err := start(name+" worker", cmd)
		if err != nil {
			return 0, nil, err
		}
		children = append(children, c)
	}
	for _, c := range children[first:] {
		if err := c.tell("go"); err != nil {
			return 0, nil, err
		}
	}
	for _, c := range children[first:] {
		var m measurement
		if err := c.answer(b.warmup+b.duration, &m); err != nil {
			return 0, nil, err
		}
		if m.Seconds < b.duration.Seconds()/2 {
			return 0, nil, fmt.Errorf("%s measured for %.2f s only", c.name, m.Seconds)
		}
		perSecond += float64(m.Ops) / m.Seconds
		latencies.merge(m.Latencies)
	}
	return perSecond, latencies, nil
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
