package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os/exec"
	"slices"
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

func TestBrief(t *testing.T) {
	for v, want := range map[float64]string{7: "7", 999: "999", 999.9: "1k", 28456: "28.5k", 999_900: "1M", 1_519_999: "1.52M"} {
		if got := brief(v); got != want {
			t.Errorf("brief(%v): got %s, want %s", v, got, want)
		}
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{"17": 17, "2KB": 2000, "1.5gb": 1_500_000_000, "300MB": 300_000_000} {
		if got, err := parseBytes(text); err != nil || got != want {
			t.Errorf("%s: got %d, %v, want %d", text, got, err, want)
		}
	}
	if _, err := parseBytes("10 elephants"); err == nil {
		t.Error("no error")
	}
}

// Property: a load puts each key once.
func TestLoadKeys(t *testing.T) {
	j := loadJob{Bytes: 12345 * 116, ValueSize: 100}
	seen := map[string]bool{}
	for i := range j.entries() {
		seen[string(j.key(i))] = true
	}
	if len(seen) != 12345 || !seen[string(appendKey(nil, 0))] || !seen[string(appendKey(nil, 12344))] {
		t.Errorf("%d keys", len(seen))
	}
}

// Property: what -quick sets is what flags allow.
func TestQuickNamesWhatThereIs(t *testing.T) {
	for name, all := range map[string][]string{"suites": suiteNames(), "peers": peerNames()} {
		for _, item := range strings.Split(quickly[name], ",") {
			if !slices.Contains(all, item) {
				t.Errorf("-%s %s", name, item)
			}
		}
	}
	for list, all := range map[*[]string][]string{&usualSuites: suiteNames(), &usualPeers: peerNames(), &usualWorkloads: workloadNames()} {
		for _, item := range *list {
			if !slices.Contains(all, item) {
				t.Errorf("usual: %s", item)
			}
		}
	}
}

// Property: each peer that needs no server keeps what is put, and shows it to
// gets and scans.
func TestPeers(t *testing.T) {
	const keys = 3000
	for _, p := range allPeers {
		p, ok := p.(*goPeer)
		if !ok || p.serve != nil {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			if err := p.available(nil); err != nil {
				t.Skip(err)
			}
			filler, err := findGoPeer(p.filledBy)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			open := func(p *goPeer, j job) client {
				t.Helper()
				c, err := p.connect(dir, j)
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			closed := func(c client) {
				t.Helper()
				if err := c.close(); err != nil {
					t.Fatal(err)
				}
			}
			c := open(filler, job{Op: opFill, InFlight: 1})
			if err := fill(c, keys); err != nil {
				t.Fatal(err)
			}
			closed(c)
			for _, sync := range []bool{false, true} {
				c = open(p, job{Op: opPut, InFlight: 1, Sync: sync})
				if err := c.put(appendKey(nil, 7), []byte("seven"), sync); err != nil {
					t.Fatal(err)
				}
				err := c.batch(2, func(i int) (key, value []byte) { return appendKey(nil, keys+i), []byte("more") })
				if err != nil {
					t.Fatal(err)
				}
				closed(c)
			}
			c = open(p, job{Op: opGet, InFlight: 1})
			for i, want := range map[int]string{7: "seven", 8: string(newValues(1).at(8)), keys + 1: "more"} {
				if got, err := c.get(appendKey(nil, i)); err != nil || string(got) != want {
					t.Errorf("key %d: %q, %v", i, got, err)
				}
			}
			if _, err := c.get([]byte("absent")); err == nil {
				t.Error("absent key: no error")
			}
			n := 0
			err = c.scan(func(key, value []byte) bool {
				if string(key) != string(appendKey(nil, n)) {
					t.Fatalf("entry %d: key %q", n, key)
				}
				n++
				return true
			})
			if err != nil || n != keys+2 {
				t.Errorf("scan: %d entries, %v", n, err)
			}
			closed(c)
			// As a worker uses it.
			for _, op := range []operation{opPut, opGet, opMixed, opBatch, opScan} {
				j := job{Op: op, InFlight: 4, Batch: 10, Keys: keys}
				c = open(p, j)
				if err := c.put(appendKey(nil, 7), newValues(1).at(7), false); err != nil {
					t.Fatal(err)
				}
				w := &work{client: c, job: j, values: newValues(2)}
				if m, err := w.run(time.Now(), 20*time.Millisecond); err != nil || m.Ops == 0 {
					t.Errorf("%s: %d calls, %v", op, m.Ops, err)
				}
				closed(c)
			}
			c = open(p, job{Op: opGet, InFlight: 1})
			n = 0
			if err := c.scan(func(_, _ []byte) bool { n++; return n < 10 }); err != nil || n != 10 {
				t.Errorf("scan that is ended: %d entries, %v", n, err)
			}
			closed(c)
		})
	}
}

// The report and the picture of any results are whole.
func TestReport(t *testing.T) {
	r := &results{
		Settings: settings{Processes: []int{1, 4}},
		Peers: []peerText{{Name: "lmdb", Color: "#111"}, {Name: "goleveldb", Color: "#222", Alone: true},
			{Name: "redis", Color: "#333", Cannot: map[string]string{"fillsync": "no"}}, {Name: "party", Color: "#000"}},
		Throughput: []*outcome{
			{Peer: "party", Workload: "readrandom", Processes: 1, PerSecond: []float64{300, 100, 200}, Ways: []string{"guest"}},
			{Peer: "party", Workload: "readrandom", Processes: 4, PerSecond: []float64{800}},
			{Peer: "lmdb", Workload: "readrandom", Processes: 1, PerSecond: []float64{100, 100, 100}},
			{Peer: "lmdb", Workload: "readrandom", Processes: 4, PerSecond: []float64{4000}},
			{Peer: "goleveldb", Workload: "readrandom", Processes: 1, PerSecond: []float64{50}},
			{Peer: "party", Workload: "fillsync", Processes: 1, PerSecond: []float64{10}},
			{Peer: "lmdb", Workload: "fillsync", Processes: 1}, // it failed
		},
		Kills: []*gaps{{Peer: "party", Victim: leading, Reads: []time.Duration{3e6, 1e6, 2e6}, Writes: []time.Duration{4e6}, Kills: 1},
			{Peer: "rave-level", Victim: leading, Faults: []string{"died"}}},
		Memory:  []*guestMemory{{Peer: "party", Guests: 1, Resident: 2048}},
		Members: []*memberMemory{{Cache: 1 << 20, Peak: 3 << 20}},
		Short:   []wallTime{{Name: "party", Times: []time.Duration{1e6, 2e6}}, {Name: "sqlite", Times: []time.Duration{1e6}}},
		Loads:   []*loaded{{Peer: "party", Bytes: 1 << 30, Time: time.Second, Written: 3 << 30, Processes: []usage{{Role: "puts"}}}},
	}
	report := string(r.report())
	squeezed := strings.Join(strings.Fields(report), " ")
	for _, want := range []string{
		"| get | 100 / 4k | 50 | – | 200 / 800 |",
		"| get | 2× / 0.2× | 4× | – | – |",
		"| put, synced, one at a time | – | – | – | 10 |",
		"| get | 1 | 200/s | 0.5× lmdb: 2× (1 to 3); 2× goleveldb: 4× | met | 1.2× lmdb: 2× (1 to 3) | met |",
		"| get | 4 | 800/s | 0.5× lmdb: 0.2×; 2× goleveldb: 16× | missed | 1.2× lmdb: 0.2× | missed |",
		"| whole short process | 1 | 1.5 ms | as short as sqlite: 1 ms | missed | | |",
		"| party | the leader | 1 | writes | 4 ms | 4 ms | 4 ms | – | – |",
		"the measured processes were: guest",
		"- rave-level, the leader killed: died",
		"| party | 1 s | 0 ns | 1,020 MiB/s |",
	} {
		if !strings.Contains(squeezed, want) {
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
