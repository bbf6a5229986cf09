package main

import "time"

// workload is what worker processes do again and again. The names are those of
// LevelDB's and RocksDB's db_bench, where it has one; a number of calls under
// way at a time, of one process, is written behind.
type workload struct {
	name     string
	title    string
	unit     string
	Op       operation
	InFlight int
	Sync     bool
	// big tells that the database is the big one.
	big bool
	// writer tells that one more process puts meanwhile.
	writer bool
}

type operation string

const (
	opGet   operation = "get"
	opPut   operation = "put"
	opMixed operation = "mixed" // 95% get, 5% put
	opBatch operation = "batch" // batchSize puts, all or none
	opScan  operation = "scan"  // all entries
	opFill  operation = "fill"  // makes the database; no workload
)

const (
	batchSize  = 100
	putPercent = 5 // of opMixed
)

var workloads = []workload{
	{name: "readrandom", title: "get", unit: "gets/s", Op: opGet, InFlight: 1},
	{name: "readrandom-64", title: "get, 64 in flight in each process", unit: "gets/s", Op: opGet, InFlight: 64},
	{name: "overwrite", title: "put, no sync", unit: "puts/s", Op: opPut, InFlight: 1},
	{name: "overwrite-64", title: "put, no sync, 64 in flight in each process", unit: "puts/s", Op: opPut, InFlight: 64},
	{name: "fillsync", title: "put, synced, one at a time", unit: "puts/s", Op: opPut, InFlight: 1, Sync: true},
	{name: "fillsync-16", title: "put, synced, 16 in flight in each process", unit: "puts/s", Op: opPut, InFlight: 16, Sync: true},
	{name: "fillrandbatch", title: "batches of 100 puts", unit: "puts/s", Op: opBatch, InFlight: 1},
	{name: "readseq", title: "scan", unit: "entries/s", Op: opScan, InFlight: 1},
	{name: "mixed-95", title: "95% get, 5% put", unit: "calls/s", Op: opMixed, InFlight: 1},
	{name: "readrandom-big", title: "get, many keys", unit: "gets/s", Op: opGet, InFlight: 1, big: true},
	{name: "readwhilewriting", title: "get, while another process puts", unit: "gets/s", Op: opGet, InFlight: 1, writer: true},
}

// usualWorkloads are those that are measured if none are named.
var usualWorkloads = []string{"readrandom", "overwrite", "fillsync", "fillsync-16", "fillrandbatch", "readseq", "mixed-95",
	"readrandom-big", "readwhilewriting"}

func workloadNames() (names []string) {
	for _, w := range workloads {
		names = append(names, w.name)
	}
	return names
}

// changes tells whether the database is another one afterwards.
func (w workload) changes() bool { return w.writer || w.Op != opGet && w.Op != opScan }

// job is what a worker is told, as JSON.
type job struct {
	Op       operation
	InFlight int
	Sync     bool
	Batch    int
	Keys     int
	Worker   int // which of the workers that share the workload
	Warmup   time.Duration
	Duration time.Duration
}

// measurement is what a worker reports, as JSON.
type measurement struct {
	Ops     int64 // gets, puts or entries
	Seconds float64
	// Latencies of calls: of one get, one put, one batch, one whole scan. Of very
	// short calls only some are timed.
	Latencies histogram
	// Way is how the peer reaches the database, if there is more than one.
	Way string `json:",omitempty"`
}
