package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/levelparty/party"
)

// bench is one run of the built-in benchmark.
type bench struct {
	workloads []string
	num       int
	valueSize int
	threads   int
	seed      uint64
	sync      bool
	values    *benchValues
}

var workloadNames = []string{"fillseq", "fillrandom", "readrandom", "readseq", "deleterandom"}

// workload does the i-th of its operations on one of the keys 0 to num-1 and
// returns the bytes it moved.
type workload func(b *bench, s *session, rnd *rand.Rand, i int) (bytes int, err error)

// workloads has an entry for each name. Reading in order is one call for many
// keys, and so a case of its own.
var workloads = map[string]workload{
	"fillseq": func(b *bench, s *session, _ *rand.Rand, i int) (int, error) {
		return b.put(s, i)
	},
	"fillrandom": func(b *bench, s *session, rnd *rand.Rand, _ int) (int, error) {
		return b.put(s, rnd.IntN(b.num))
	},
	"readrandom": func(b *bench, s *session, rnd *rand.Rand, _ int) (int, error) {
		key := benchKey(rnd.IntN(b.num))
		value, err := s.kv.Get(s.ctx, key)
		if errors.Is(err, party.ErrNotFound) {
			return 0, nil // fillrandom leaves holes
		}
		return len(key) + len(value), err
	},
	"readseq": func(*bench, *session, *rand.Rand, int) (int, error) { panic("has its own loop") },
	"deleterandom": func(b *bench, s *session, rnd *rand.Rand, _ int) (int, error) {
		key := benchKey(rnd.IntN(b.num))
		return len(key), s.kv.Delete(s.ctx, key, party.WriteOptions{Sync: b.sync})
	},
}

func (b *bench) put(s *session, i int) (int, error) {
	key, value := benchKey(i), b.values.at(i)
	return len(key) + len(value), s.kv.Put(s.ctx, key, value, party.WriteOptions{Sync: b.sync})
}

const benchKeySize = 16

func benchKey(i int) []byte { return fmt.Appendf(make([]byte, 0, benchKeySize), "%016d", i) }

// benchValues gives values that a compressor makes about half as large, as
// LevelDB's own benchmark does.
type benchValues struct {
	data []byte
	size int
}

func newBenchValues(seed uint64, size int) *benchValues {
	rnd := rand.New(rand.NewPCG(seed, 0))
	data := make([]byte, 0, 1<<20+size+100)
	for len(data) < cap(data)-100 {
		var piece [50]byte
		for i := range piece {
			piece[i] = byte(' ' + rnd.IntN(95))
		}
		data = append(append(data, piece[:]...), piece[:]...)
	}
	return &benchValues{data, size}
}

func (v *benchValues) at(i int) []byte {
	at := i * v.size % (1 << 20)
	return v.data[at : at+v.size]
}

// measure runs one workload.
func (b *bench) measure(s *session, name string) (*benchResult, error) {
	var done atomic.Int64
	bar := startProgress(name, func() (float64, string) {
		n := done.Load()
		return float64(n) / float64(b.num), grouped(n) + " operations"
	})
	defer bar.end()
	results := make([]benchResult, b.threads)
	errs := make([]error, b.threads)
	var threads sync.WaitGroup
	start := time.Now()
	for t := range b.threads {
		threads.Go(func() {
			first, last := b.num*t/b.threads, b.num*(t+1)/b.threads
			if name == "readseq" {
				errs[t] = b.scan(s, first, last, &results[t], &done)
				return
			}
			rnd := rand.New(rand.NewPCG(b.seed, uint64(t)))
			errs[t] = b.operate(s, workloads[name], rnd, first, last, &results[t], &done)
		})
	}
	threads.Wait()
	total := &benchResult{threads: b.threads}
	total.elapsed = time.Since(start)
	for i := range results {
		total.add(&results[i])
	}
	slices.Sort(total.samples)
	return total, errors.Join(errs...)
}

func (b *bench) operate(s *session, do workload, rnd *rand.Rand, first, last int, r *benchResult, done *atomic.Int64) error {
	before := time.Now()
	for i := first; i < last; i++ {
		n, err := do(b, s, rnd, i)
		if err != nil {
			return s.explain(err)
		}
		now := time.Now()
		r.count(n, now.Sub(before))
		before = now
		done.Add(1)
	}
	return nil
}

// scan reads the keys from first on, before last, in order.
func (b *bench) scan(s *session, first, last int, r *benchResult, done *atomic.Int64) error {
	o := party.IteratorOptions{Range: party.Range{GTE: benchKey(first), LT: benchKey(last)}}
	before := time.Now()
	it := s.kv.Iterator(s.ctx, o)
	defer it.Close()
	for it.Next() {
		now := time.Now()
		r.count(len(it.Key())+len(it.Value()), now.Sub(before))
		before = now
		done.Add(1)
	}
	return s.explain(it.Err())
}

// benchResult is what a workload came to.
type benchResult struct {
	ops     int
	bytes   int64
	threads int
	elapsed time.Duration
	max     time.Duration
	samples []time.Duration
}

// benchSamples bounds the memory for latencies; beyond, every so many-th is
// taken.
const benchSamples = 1 << 20

func (r *benchResult) count(bytes int, d time.Duration) {
	r.ops++
	r.bytes += int64(bytes)
	r.max = max(r.max, d)
	if every := r.ops/benchSamples + 1; r.ops%every == 0 {
		r.samples = append(r.samples, d)
	}
}

func (r *benchResult) add(o *benchResult) {
	r.ops += o.ops
	r.bytes += o.bytes
	r.max = max(r.max, o.max)
	r.samples = append(r.samples, o.samples...)
}

func (r *benchResult) percentile(p int) time.Duration {
	if len(r.samples) == 0 {
		return 0
	}
	return r.samples[min(len(r.samples)*p/100, len(r.samples)-1)]
}

func (r *benchResult) print(name string, asJSON bool) error {
	seconds := r.elapsed.Seconds()
	perOp := time.Duration(0)
	if r.ops > 0 {
		perOp = r.elapsed * time.Duration(r.threads) / time.Duration(r.ops)
	}
	perSecond, mb := float64(r.ops)/seconds, float64(r.bytes)/seconds/1e6
	if !asJSON {
		return printLine("%-13s %10s %12s %10.1f %9s %9s %9s", name, micros(perOp), grouped(int64(perSecond)), mb,
			micros(r.percentile(50)), micros(r.percentile(99)), brief(r.max))
	}
	return json.NewEncoder(os.Stdout).Encode(struct {
		Workload  string  `json:"workload"`
		Ops       int     `json:"ops"`
		Seconds   float64 `json:"seconds"`
		PerSecond float64 `json:"opsPerSecond"`
		MB        float64 `json:"mbPerSecond"`
		P50       int64   `json:"p50Nanoseconds"`
		P99       int64   `json:"p99Nanoseconds"`
		Max       int64   `json:"maxNanoseconds"`
	}{name, r.ops, seconds, perSecond, mb, r.percentile(50).Nanoseconds(), r.percentile(99).Nanoseconds(), r.max.Nanoseconds()})
}

// micros shows the time of an operation, which may be less than a microsecond.
func micros(d time.Duration) string {
	if d < 10*time.Microsecond {
		return fmt.Sprintf("%.2f µs", float64(d)/float64(time.Microsecond))
	}
	return brief(d)
}
