package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestHistogramPercentiles(t *testing.T) {
	var low, high histogram
	for i := range 1000 {
		d := time.Duration(i+1) * time.Microsecond
		if i < 500 {
			low.add(d)
		} else {
			high.add(d)
		}
	}
	low.merge(high)
	for p, want := range map[float64]time.Duration{1: 10 * time.Microsecond, 50: 500 * time.Microsecond, 99: 990 * time.Microsecond} {
		got := low.percentile(p)
		if off := float64(got-want) / float64(want); off < -.03 || off > .03 {
			t.Errorf("p%v: got %v, want %v within 3%%", p, got, want)
		}
	}
	if got := (histogram)(nil).percentile(50); got != 0 {
		t.Errorf("empty: got %v", got)
	}
}

// Workers in both languages must count alike.
func TestNodeHistogramIsOurs(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip(err)
	}
	out, err := exec.Command("node", "-e", `
		const { Histogram } = require('./node/measure.js')
		const h = new Histogram()
		for (const ms of [0.000001, 0.001, 0.0375, 1, 2.5, 1000]) h.add(ms)
		console.log(JSON.stringify(h.counts))`).Output()
	if err != nil {
		t.Fatal(err)
	}
	var got, want histogram
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for _, d := range []time.Duration{1, 1000, 37500, 1e6, 2.5e6, 1e9} {
		want.add(d)
	}
	if len(got) != len(want) {
		t.Fatalf("%d buckets, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("bucket %d: %d, want %d", i, got[i], want[i])
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 7: "7", 999: "999", 1234: "1,230", 28456: "28,500", 1_519_999: "1,520,000"} {
		if got := number(v); got != want {
			t.Errorf("number(%v): got %s, want %s", v, got, want)
		}
	}
}

// The report and the picture of any results are whole.
func TestReport(t *testing.T) {
	r := &results{
		Peers: []peerText{{Name: "party", Color: "#000"}, {Name: "rave-level", Color: "#111", Cannot: syncLost}},
		Throughput: []*outcome{
			{Peer: "party", Workload: "readrandom", PerSecond: []float64{300, 100, 200}},
			{Peer: "rave-level", Workload: "readrandom", PerSecond: []float64{50}},
			{Peer: "party", Workload: "fillsync", PerSecond: []float64{10}},
		},
		Failover: []*gaps{{Peer: "party", Gaps: []time.Duration{3e6, 1e6, 2e6}, Kills: 1}, {Peer: "rave-level", Faults: []string{"died"}}},
		Memory:   []*guestMemory{{Peer: "party", Guests: 1, Resident: 2048}},
		Short:    []wallTime{{Name: "party", Times: []time.Duration{1e6, 2e6}}},
	}
	report := string(r.report())
	for _, want := range []string{
		"| get, one at a time: party against rave-level | ≥ 3× | 4.00× | met |",
		"| get, one at a time | 200 | 50 (4×) |",
		"| synced put, one at a time | 10 | – |",
		"| party | 1 | 2 ms | 3 ms | 3 ms |  |",
		"| rave-level | 0 | – | – | – | died |",
	} {
		if !strings.Contains(report, want) {
			t.Errorf("the report lacks %q:\n%s", want, report)
		}
	}
	for d := xml.NewDecoder(bytes.NewReader(r.plot())); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
