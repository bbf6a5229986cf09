package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// results is what a run found, as results.json keeps it.
type results struct {
	Note       string `json:",omitempty"`
	Machine    machine
	Settings   settings
	Peers      []peerText
	LeftOut    []string        `json:",omitempty"` // peers, and why
	Faults     []string        `json:",omitempty"` // what could not be measured, and why
	Throughput []*outcome      `json:",omitempty"`
	Short      []wallTime      `json:",omitempty"`
	Kills      []*gaps         `json:",omitempty"`
	Memory     []*guestMemory  `json:",omitempty"`
	Members    []*memberMemory `json:",omitempty"`
	Loads      []*loaded       `json:",omitempty"`
}

// fault notes that something could not be measured. The report has the beginning
// of why.
func (r *results) fault(what string, err error) {
	progress("%s: %v", what, err)
	why := strings.Join(strings.Fields(err.Error()), " ")
	if len(why) > 200 {
		why = strings.ToValidUTF8(why[:200], "") + "…"
	}
	r.Faults = append(r.Faults, what+": "+why)
}

type settings struct {
	Rounds, Keys, BigKeys int
	Processes             []int
	Duration, Warmup      time.Duration
	Survivors, KillKeys   int
	LoadValue             int
}

type peerText struct {
	Name, About, Color string
	Alone              bool              `json:",omitempty"`
	Cannot             map[string]string `json:",omitempty"`
}

func newResults(b *bench) *results {
	return &results{
		Note:    b.note,
		Machine: thisMachine(),
		Settings: settings{
			Rounds: b.rounds, Keys: b.keys, BigKeys: b.bigKeys, Processes: b.processes,
			Duration: b.duration, Warmup: b.warmup,
			Survivors: b.survivors, KillKeys: b.killKeys, LoadValue: b.loadValue,
		},
	}
}

func (r *results) outcome(peer, workload string, processes int) *outcome {
	for _, o := range r.Throughput {
		if o.Peer == peer && o.Workload == workload && o.Processes == processes {
			return o
		}
	}
	o := &outcome{Peer: peer, Workload: workload, Processes: processes}
	r.Throughput = append(r.Throughput, o)
	return o
}

// find returns what a peer reached in so many processes, of a peer that is alone
// what that reached. It returns nil if the peer did not do the workload.
func (r *results) find(peer, workload string, processes int) *outcome {
	for _, p := range r.Peers {
		if p.Name == peer && p.Alone {
			processes = 1
		}
	}
	for _, o := range r.Throughput {
		if o.Peer == peer && o.Workload == workload && o.Processes == processes && len(o.PerSecond) > 0 {
			return o
		}
	}
	return nil
}

// ratio returns how many times as fast peer was as against, and 0 if that cannot
// be told.
func (r *results) ratio(workload string, processes int, peer, against string) float64 {
	a, b := r.find(peer, workload, processes), r.find(against, workload, processes)
	if a == nil || b == nil {
		return 0
	}
	return a.median() / b.median()
}

// short returns the median time of a whole short process, and 0 if there is
// none.
func (r *results) short(name string) time.Duration {
	for _, t := range r.Short {
		if t.Name == name {
			return median(t.Times)
		}
	}
	return 0
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
