package main

import "time"

// workload is what a worker process does again and again. The names are those
// of LevelDB's db_bench, where it has one; a number of calls under way at a
// time is written behind.
type workload struct {
	name     string
	title    string
	unit     string
	Op       operation
	InFlight int
	Sync     bool
}

type operation string

const (
	opGet   operation = "get"
	opPut   operation = "put"
	opBatch operation = "batch" // batchSize puts, all or none
	opScan  operation = "scan"  // all entries
)

const batchSize = 100

var workloads = []workload{
	{name: "readrandom", title: "get, one at a time", unit: "gets/s", Op: opGet, InFlight: 1},
	{name: "readrandom-64", title: "get, 64 in flight", unit: "gets/s", Op: opGet, InFlight: 64},
	{name: "overwrite", title: "put, one at a time", unit: "puts/s", Op: opPut, InFlight: 1},
	{name: "overwrite-64", title: "put, 64 in flight", unit: "puts/s", Op: opPut, InFlight: 64},
	{name: "fillrandbatch", title: "batches of 100 puts", unit: "puts/s", Op: opBatch, InFlight: 1},
	{name: "readseq", title: "scan", unit: "entries/s", Op: opScan, InFlight: 1},
	{name: "fillsync", title: "synced put, one at a time", unit: "puts/s", Op: opPut, InFlight: 1, Sync: true},
}

func workloadNames() (names []string) {
	for _, w := range workloads {
		names = append(names, w.name)
	}
	return names
}

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
	// Latencies of calls: of one get, one put, one batch, one whole scan.
	Latencies histogram
}
