package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"
)

// results is what a run found, as results.json keeps it.
type results struct {
	Note       string `json:",omitempty"`
	Machine    machine
	Settings   settings
	Peers      []peerText
	LeftOut    []string       `json:",omitempty"` // peers, and why
	Throughput []*outcome     `json:",omitempty"`
	Failover   []*gaps        `json:",omitempty"`
	Memory     []*guestMemory `json:",omitempty"`
	Short      []wallTime     `json:",omitempty"`
}

type settings struct {
	Rounds, Workers, Keys   int
	Duration, Warmup        time.Duration
	Survivors, FailoverKeys int
}

type peerText struct {
	Name, About, Color string
	Cannot             map[string]string `json:",omitempty"`
}

func newResults(b *bench) *results {
	return &results{
		Note:    b.note,
		Machine: thisMachine(),
		Settings: settings{
			Rounds: b.rounds, Workers: b.workers, Keys: b.keys, Duration: b.duration, Warmup: b.warmup,
			Survivors: b.survivors, FailoverKeys: failoverKeys,
		},
	}
}

func (r *results) outcome(peer, workload string) *outcome {
	if o := r.find(peer, workload); o != nil {
		return o
	}
	o := &outcome{Peer: peer, Workload: workload}
	r.Throughput = append(r.Throughput, o)
	return o
}

// find returns nil if the peer did not do the workload.
func (r *results) find(peer, workload string) *outcome {
	for _, o := range r.Throughput {
		if o.Peer == peer && o.Workload == workload {
			return o
		}
	}
	return nil
}

// ratio returns how many times faster peer was than against, and 0 if that
// cannot be told.
func (r *results) ratio(workload, peer, against string) float64 {
	a, b := r.find(peer, workload), r.find(against, workload)
	if a == nil || b == nil {
		return 0
	}
	return a.median() / b.median()
}

func (o *outcome) median() float64 { return median(append([]float64(nil), o.PerSecond...)) }

// write writes everything that is made of the results.
func (r *results) write(dir string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"results.json": append(b, '\n'),
		"results.md":   r.report(),
	}
	if len(r.Throughput) > 0 {
		files["results.svg"] = r.plot()
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o666); err != nil {
			return err
		}
	}
	return nil
}
