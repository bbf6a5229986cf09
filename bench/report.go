package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// report is results.md, and what a run prints.
func (r *results) report() []byte {
	var w bytes.Buffer
	fmt.Fprintf(&w, "# Results\n\n")
	fmt.Fprintf(&w, "Made by `go run .` in this directory; [README.md](README.md) tells how it measures.\n\n")
	if r.Note != "" {
		fmt.Fprintf(&w, "**%s**\n\n", r.Note)
	}
	fmt.Fprintf(&w, "%s. Load average before the run: %s.\n\n", r.Machine, r.Machine.Load)
	for _, s := range r.LeftOut {
		fmt.Fprintf(&w, "Left out: %s.\n\n", s)
	}
	for _, s := range r.Faults {
		fmt.Fprintf(&w, "Not measured: %s.\n\n", s)
	}
	if len(r.Throughput) > 0 {
		r.reportThroughput(&w)
	}
	if len(r.Short) > 0 {
		r.reportShort(&w)
	}
	if len(r.Kills) > 0 {
		r.reportKills(&w)
	}
	if len(r.Memory) > 0 {
		r.reportMemory(&w)
	}
	if len(r.Members) > 0 {
		r.reportMembers(&w)
	}
	if len(r.Loads) > 0 {
		r.reportLoads(&w)
	}
	r.reportTargets(&w)
	return w.Bytes()
}

func (r *results) reportTargets(w *bytes.Buffer) {
	rows := [][]string{{"", "processes", "party", "must", "", "aim", ""}}
	for _, v := range r.verdicts() {
		must, mustMet := cells(v.must)
		aim, aimMet := cells(v.aim)
		rows = append(rows, []string{v.what, v.processes, v.ours, must, mustMet, aim, aimMet})
	}
	if len(rows) == 1 {
		return
	}
	fmt.Fprintf(w, "## Targets\n\n")
	fmt.Fprintf(w, "Ratios are of medians; from where to where they went in single rounds stands behind them.\n\n")
	table(w, rows)
}

func (r *results) reportThroughput(w *bytes.Buffer) {
	s := r.Settings
	fmt.Fprintf(w, "## Speed\n\n")
	fmt.Fprintf(w, "%s keys of %d bytes with incompressible values of %d bytes, chosen at random; where there are many keys, %s.\n"+
		"%v for each measurement after %v to warm up, peers in turn, median of %d rounds. Operations per second of all\n"+
		"processes together, of %s processes:\n\n", number(float64(s.Keys)), keySize, valueSize, number(float64(s.BigKeys)),
		s.Duration, s.Warmup, s.Rounds, counts(s.Processes))
	// perPeer makes a table of a cell for each workload and peer.
	perPeer := func(cell func(p peerText, load workload, processes int) string) {
		rows := [][]string{{""}}
		for _, p := range r.Peers {
			rows[0] = append(rows[0], p.Name)
		}
		for _, load := range workloads {
			row, some := []string{load.title}, false
			for _, p := range r.Peers {
				var parts []string
				for _, n := range s.Processes {
					if r.find(p.Name, load.name, n) == nil || p.Alone && len(parts) > 0 {
						continue
					}
					if text := cell(p, load, n); text != "" {
						parts = append(parts, text)
					}
				}
				some = some || len(parts) > 0
				if len(parts) == 0 {
					parts = []string{"–"}
				}
				row = append(row, strings.Join(parts, " / "))
			}
			if some {
				rows = append(rows, row)
			}
		}
		table(w, rows)
	}
	perPeer(func(p peerText, load workload, n int) string {
		return brief(r.find(p.Name, load.name, n).median())
	})
	ours := partyPeer.name
	if slices.ContainsFunc(r.Peers, func(p peerText) bool { return p.Name == ours }) {
		fmt.Fprintf(w, "As many times as fast was party; beside a peer that is alone stands party's smallest number of processes:\n\n")
		perPeer(func(p peerText, load workload, n int) string {
			if ratio := r.ratio(load.name, n, ours, p.Name); ratio != 0 && p.Name != ours {
				return times(ratio)
			}
			return ""
		})
	}
	for _, n := range s.Processes {
		fmt.Fprintf(w, "The time of one call (of a whole batch; of a whole scan), p50 … p99, with %d process(es):\n\n", n)
		perPeer(func(p peerText, load workload, count int) string {
			if count != n {
				return ""
			}
			o := r.find(p.Name, load.name, n)
			return ms(o.Latencies.percentile(50)) + " … " + ms(o.Latencies.percentile(99))
		})
	}
	r.reportPeers(w)
}

func counts(list []int) string {
	var texts []string
	for _, n := range list {
		texts = append(texts, itoa(n))
	}
	return strings.Join(texts, " / ")
}

// reportPeers tells what was compared.
func (r *results) reportPeers(w *bytes.Buffer) {
	for _, p := range r.Peers {
		fmt.Fprintf(w, "- **%s**: %s", p.Name, p.About)
		ways, puts := map[string]bool{}, []string{}
		for _, o := range r.Throughput {
			if o.Peer != p.Name {
				continue
			}
			for _, way := range o.Ways {
				ways[way] = true
			}
			if len(o.Puts) > 0 {
				puts = append(puts, brief(median(slices.Clone(o.Puts))))
			}
		}
		if len(ways) > 0 {
			fmt.Fprintf(w, "; the measured processes were: %s", strings.Join(slices.Sorted(maps.Keys(ways)), ", "))
		}
		if len(puts) > 0 {
			fmt.Fprintf(w, "; while others got, the process that put did %s puts/s", strings.Join(puts, " / "))
		}
		for _, why := range slices.Sorted(maps.Keys(reasons(p.Cannot))) {
			fmt.Fprintf(w, "; not %s: %s", strings.Join(reasons(p.Cannot)[why], ", "), why)
		}
		fmt.Fprintf(w, "\n")
	}
	fmt.Fprintf(w, "\nFor Redis calls in flight are one pipeline, a batch is an MSET, and a scan is SCAN and MGET, in no order.\n\n")
}

// reasons turns workloads with reasons into reasons with workloads.
func reasons(cannot map[string]string) map[string][]string {
	m := map[string][]string{}
	for _, load := range workloads {
		if why := cannot[load.name]; why != "" {
			m[why] = append(m[why], load.title)
		}
	}
	return m
}

func (r *results) reportShort(w *bytes.Buffer) {
	fmt.Fprintf(w, "## Whole short processes\n\n")
	fmt.Fprintf(w, "A process that starts beside another that has the database open, opens it, gets one key, closes it and ends, as its\n"+
		"parent sees it; %d of each, in turn:\n\n", len(r.Short[0].Times))
	rows := [][]string{{"", "", "median", "p90"}}
	for _, t := range r.Short {
		rows = append(rows, []string{t.Name, t.About, ms(median(t.Times)), ms(quantile(t.Times, .9))})
	}
	table(w, rows)
}

func (r *results) reportKills(w *bytes.Buffer) {
	fmt.Fprintf(w, "## Kills\n\n")
	fmt.Fprintf(w, "A database of %s keys. A process is killed with `kill -9` while %d others each get in one thread and put in another,\n"+
		"with pauses of %v (in Node of 1 ms) that count. The longest time each of them goes without a successful call, in the\n"+
		"%v or more until it is served again; and, quiet, the same in the %v before:\n\n",
		number(float64(r.Settings.KillKeys)), r.Settings.Survivors, pace, killWindow, killWindow)
	rows := [][]string{{"", "killed", "kills", "calls", "p50", "p99", "max", "quiet p50", "quiet p99"}}
	for _, g := range r.Kills {
		for _, t := range []struct {
			what        string
			gaps, quiet []time.Duration
		}{{"writes", g.Writes, g.QuietWrites}, {"reads", g.Reads, g.QuietReads}} {
			row := []string{g.Peer, string(g.Victim), fmt.Sprint(g.Kills), t.what, "–", "–", "–", "–", "–"}
			if len(t.gaps) > 0 {
				row[4], row[5], row[6] = ms(percentile(t.gaps, .5)), ms(percentile(t.gaps, .99)), ms(slices.Max(t.gaps))
			}
			if len(t.quiet) > 0 {
				row[7], row[8] = ms(percentile(t.quiet, .5)), ms(percentile(t.quiet, .99))
			}
			rows = append(rows, row)
		}
	}
	table(w, rows)
	for _, g := range r.Kills {
		for _, fault := range g.Faults {
			fmt.Fprintf(w, "- %s, %s killed: %s\n", g.Peer, g.Victim, strings.Join(strings.Fields(fault), " "))
		}
		if len(g.Faults) > 0 {
			fmt.Fprintf(w, "\n")
		}
	}
}

func (r *results) reportMemory(w *bytes.Buffer) {
	fmt.Fprintf(w, "## Memory of idle guests\n\n")
	fmt.Fprintf(w, "What the leader grows by for each of %d guests on a socket that have made one call:\n\n", r.Memory[0].Guests)
	rows := [][]string{{"", "resident", "resident after a collection", "heap and stacks"}}
	for _, m := range r.Memory {
		row := []string{m.Peer, kib(m.Resident), "–", "–"}
		if m.Reachable != 0 {
			row[2], row[3] = kib(m.Collected), kib(m.Reachable)
		}
		rows = append(rows, row)
	}
	table(w, rows)
}

func (r *results) reportMembers(w *bytes.Buffer) {
	fmt.Fprintf(w, "## Memory of a process that shares\n\n")
	fmt.Fprintf(w, "What a process beside the leader adds to its private memory (`%s`) when it opens a database of %s keys, makes\n"+
		"300,000 calls, a tenth of them puts, and scans it:\n\n", private, number(float64(r.Members[0].Keys)))
	rows := [][]string{{"cache", "at most", "after a collection"}}
	for _, m := range r.Members {
		rows = append(rows, []string{mib(m.Cache), mib(m.Peak), mib(m.Collected)})
	}
	table(w, rows)
}

func (r *results) reportLoads(w *bytes.Buffer) {
	fmt.Fprintf(w, "## Load\n\n")
	fmt.Fprintf(w, "%s of keys of %d bytes and incompressible values of %d, each key once, in no order, in batches of %d. Settled is when\n"+
		"nothing is written any more; written is what the processes had the disk write (`write_bytes`), deleted what of that\n"+
		"was deleted in time (`cancelled_write_bytes`); amplification is written by put.\n\n",
		mib(r.Loads[0].Bytes), keySize, r.Settings.LoadValue, batchSize)
	rows := [][]string{{"", "time", "settled", "mean", "slowest second", "written", "deleted", "amplification", "disk", "disk, peak", "missing"}}
	for _, l := range r.Loads {
		rows = append(rows, []string{l.Peer, ms(l.Time), ms(l.Settled), mib(int64(float64(l.Bytes)/l.Time.Seconds())) + "/s", mib(l.Slowest) + "/s",
			mib(l.Written), mib(l.Cancelled), fmt.Sprintf("%.1f", l.amplification()), mib(l.Disk), mib(l.DiskPeak), fmt.Sprint(l.Missing)})
	}
	table(w, rows)
	fmt.Fprintf(w, "At most, of each process:\n\n")
	rows = [][]string{{"", "process", "private memory", "resident", "descriptors"}}
	for _, l := range r.Loads {
		for _, u := range l.Processes {
			rows = append(rows, []string{l.Peer, u.Role, mib(u.Private), mib(u.Resident), fmt.Sprint(u.Descriptors)})
		}
	}
	table(w, rows)
}
