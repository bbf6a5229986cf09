package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// workChild is a worker: work PEER DIR JOB.
func workChild(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: work PEER DIR JOB")
	}
	p, err := findGoPeer(args[0])
	if err != nil {
		return err
	}
	var j job
	if err := json.Unmarshal([]byte(args[2]), &j); err != nil {
		return err
	}
	c, err := p.connect(args[1], j)
	if err != nil {
		return err
	}
	w := &work{client: c, job: j, values: newValues(uint64(j.Worker) + 2)}
	err = serveLines(func(line string) (any, error) {
		if line != "go" {
			return nil, fmt.Errorf("unknown request %q", line)
		}
		if _, err := w.run(j.Warmup); err != nil {
			return nil, err
		}
		endProfile, err := profile()
		if err != nil {
			return nil, err
		}
		defer endProfile()
		return w.run(j.Duration)
	})
	return errors.Join(err, c.close())
}

// work does a worker's job.
type work struct {
	client client
	job    job
	values values
	round  uint64
}

// run works for d.
func (w *work) run(d time.Duration) (measurement, error) {
	w.round++
	threads, step := w.job.InFlight, w.step
	if p, ok := w.client.(pipeliner); ok && threads > 1 {
		threads, step = 1, func(t *thread) (int, error) { return w.pipeline(t, p) }
	}
	start := time.Now()
	all := make([]thread, threads)
	errs := make([]error, threads)
	var running sync.WaitGroup
	for i := range all {
		t := &all[i]
		t.random = rand.New(rand.NewPCG(uint64(w.job.Worker)<<32|w.round, uint64(i)))
		t.end = start.Add(d)
		running.Go(func() { errs[i] = t.run(start, step) })
	}
	running.Wait()
	var m measurement
	for i := range all {
		m.Ops += all[i].ops
		m.Latencies.merge(all[i].latencies)
		m.Seconds = max(m.Seconds, all[i].elapsed.Seconds())
	}
	return m, errors.Join(errs...)
}

// thread is one line of calls, each made when the one before has been answered.
type thread struct {
	random    *rand.Rand
	end       time.Time
	ops       int64
	elapsed   time.Duration
	latencies histogram
	keys      [][]byte // reused
	values    [][]byte
	key       [keySize]byte
}

// run repeats step, which does one call or round of calls and returns how many
// operations that was, until t.end.
func (t *thread) run(start time.Time, step func(*thread) (int, error)) error {
	for now := start; now.Before(t.end); {
		n, err := step(t)
		if err != nil {
			return err
		}
		then := now
		now = time.Now()
		t.ops += int64(n)
		t.latencies.add(now.Sub(then))
		t.elapsed = now.Sub(start)
	}
	return nil
}

func (w *work) step(t *thread) (int, error) {
	switch w.job.Op {
	case opGet:
		v, err := w.client.get(t.randomKey(w.job.Keys))
		if err == nil && len(v) != valueSize {
			err = fmt.Errorf("value of %d bytes", len(v))
		}
		return 1, err
	case opPut:
		return 1, w.client.put(t.randomKey(w.job.Keys), w.values.at(t.random.IntN(len(w.values))), w.job.Sync)
	case opBatch:
		return w.job.Batch, w.client.batch(w.job.Batch, func(int) (key, value []byte) {
			return t.randomKey(w.job.Keys), w.values.at(t.random.IntN(len(w.values)))
		})
	case opScan:
		n := 0
		err := w.client.scan(func(key, value []byte) bool {
			n++
			// The clock is not asked for each entry.
			return n%256 != 0 || time.Now().Before(t.end)
		})
		return n, err
	}
	return 0, fmt.Errorf("unknown operation %q", w.job.Op)
}

// pipeline does a round of InFlight calls at once.
func (w *work) pipeline(t *thread, p pipeliner) (n int, err error) {
	t.keys, t.values = t.keys[:0], t.values[:0]
	for range w.job.InFlight {
		t.keys = append(t.keys, appendKey(nil, t.random.IntN(w.job.Keys)))
		t.values = append(t.values, w.values.at(t.random.IntN(len(w.values))))
	}
	if w.job.Op == opGet {
		return len(t.keys), p.gets(t.keys)
	}
	return len(t.keys), p.puts(t.keys, t.values)
}

// randomKey returns a key that is valid until the next call.
func (t *thread) randomKey(keys int) []byte {
	return appendKey(t.key[:0], t.random.IntN(keys))
}
