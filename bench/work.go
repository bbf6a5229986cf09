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
		begin := time.Now()
		warm, err := w.run(begin, j.Warmup)
		if err != nil {
			return nil, err
		}
		w.aimClock(warm)
		endProfile, err := profile()
		if err != nil {
			return nil, err
		}
		defer endProfile()
		m, err := w.run(begin.Add(j.Warmup), j.Duration)
		if c, ok := c.(interface{ way() string }); ok {
			m.Way = c.way()
		}
		return m, err
	})
	return errors.Join(err, c.close())
}

// work does a worker's job.
type work struct {
	client client
	job    job
	values values
	round  uint64
	// untimed is how many calls follow each one that is timed.
	untimed int
}

// shortCall is below what the clock and the histogram take that is a part of a
// call worth sparing.
const shortCall = 20 * time.Microsecond

// aimClock has only some calls timed, if the warm-up showed them to be short.
func (w *work) aimClock(warm measurement) {
	if w.job.InFlight == 1 && w.job.Op != opScan && float64(warm.Ops) > warm.Seconds/shortCall.Seconds() {
		w.untimed = 15
	}
}

// run works for d from start on. Calls count that begin in that time: so all
// workers that were told "go" together count the same time, whoever was kept
// waiting at its ends.
func (w *work) run(start time.Time, d time.Duration) (measurement, error) {
	w.round++
	threads, step := w.job.InFlight, w.step
	if p, ok := w.client.(pipeliner); ok && threads > 1 {
		threads, step = 1, func(t *thread) (int, error) { return w.pipeline(t, p) }
	}
	all := make([]thread, threads)
	errs := make([]error, threads)
	var running sync.WaitGroup
	for i := range all {
		t := &all[i]
		t.random = rand.New(rand.NewPCG(uint64(w.job.Worker)<<32|w.round, uint64(i)))
		t.end = start.Add(d)
		running.Go(func() { errs[i] = t.run(w.untimed, step) })
	}
	running.Wait()
	m := measurement{Seconds: d.Seconds()}
	for i := range all {
		m.Ops += all[i].ops
		m.Latencies.merge(all[i].latencies)
	}
	return m, errors.Join(errs...)
}

// thread is one line of calls, each made when the one before has been answered.
type thread struct {
	random    *rand.Rand
	end       time.Time
	ops       int64
	latencies histogram
	keys      [][]byte // reused
	values    [][]byte
	key       [keySize]byte
	sum       int // of bytes that a scan saw, so that it must look
}

// run repeats step, which does one call or round of calls and returns how many
// operations that was, until t.end. Behind each that is timed come untimed that
// are not.
func (t *thread) run(untimed int, step func(*thread) (int, error)) error {
	for now := time.Now(); now.Before(t.end); {
		n, err := step(t)
		if err != nil {
			return err
		}
		then := now
		now = time.Now()
		t.ops += int64(n)
		t.latencies.add(now.Sub(then))
		if untimed > 0 {
			for range untimed {
				if n, err = step(t); err != nil {
					return err
				}
				t.ops += int64(n)
			}
			now = time.Now()
		}
	}
	return nil
}

func (w *work) step(t *thread) (int, error) {
	op := w.job.Op
	if op == opMixed {
		op = opGet
		if t.random.IntN(100) < putPercent {
			op = opPut
		}
	}
	switch op {
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
			t.sum += int(key[len(key)-1]) + int(value[0])
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
