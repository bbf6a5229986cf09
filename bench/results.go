package main

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// results is what a run found, as results.json keeps it.
type results struct {
	Note       string `json:",omitempty"`
	Settings   settings
	Machine    machine
	Peers      []peerText
	LeftOut    []string       `json:",omitempty"`
	Throughput []*outcome     `json:",omitempty"`
	Failover   []*gaps        `json:",omitempty"`
	Memory     []*guestMemory `json:",omitempty"`
	Short      []wallTime     `json:",omitempty"`
}

type settings struct {
	Rounds, Workers, Keys int
	Duration, Warmup      string
}
type machine struct{}
type peerText struct{ Name, About string }

func newResults(b *bench) *results { return &results{Note: b.note} }

func (r *results) outcome(peer, workload string) *outcome {
	for _, o := range r.Throughput {
		if o.Peer == peer && o.Workload == workload {
			return o
		}
	}
	o := &outcome{Peer: peer, Workload: workload}
	r.Throughput = append(r.Throughput, o)
	return o
}

func (r *results) write(dir string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "results.json"), b, 0o666)
}
