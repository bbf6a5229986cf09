package main

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// report is results.md.
func (r *results) report() []byte {
	var w bytes.Buffer
	fmt.Fprintf(&w, "# Results\n\n")
	fmt.Fprintf(&w, "Made by `go run .` in this directory; see its package comment for how.\n\n")
	if r.Note != "" {
		fmt.Fprintf(&w, "**%s**\n\n", r.Note)
	}
	fmt.Fprintf(&w, "%s. Load average before the run: %s.\n\n", r.Machine, r.Machine.Load)
	for _, s := range r.LeftOut {
		fmt.Fprintf(&w, "Left out: %s.\n\n", s)
	}
	if list := r.verdicts(); len(list) > 0 {
		fmt.Fprintf(&w, "## Targets\n\n")
		rows := [][]string{{"", "want", "got", ""}}
		for _, v := range list {
			verdict := "missed"
			if v.met {
				verdict = "met"
			}
			rows = append(rows, []string{v.what, v.want, v.got, verdict})
		}
		table(&w, rows)
	}
	if len(r.Throughput) > 0 {
		r.reportThroughput(&w)
	}
	if len(r.Failover) > 0 {
		r.reportFailover(&w)
	}
	if len(r.Memory) > 0 {
		r.reportMemory(&w)
	}
	if len(r.Short) > 0 {
		r.reportShort(&w)
	}
	return w.Bytes()
}

func (r *results) reportThroughput(w *bytes.Buffer) {
	s := r.Settings
	fmt.Fprintf(w, "## Throughput\n\n")
	fmt.Fprintf(w, "%s keys of %d bytes with incompressible values of %d bytes, chosen at random; %d worker process(es), %v for each\n"+
		"measurement after %v to warm up, peers in turn, median of %d rounds. Operations per second, and as many times slower\n"+
		"as party:\n\n", number(float64(s.Keys)), keySize, valueSize, s.Workers, s.Duration, s.Warmup, s.Rounds)
	head := []string{""}
	for _, p := range r.Peers {
		head = append(head, p.Name)
	}
	speed, latency := [][]string{head}, [][]string{head}
	ours := partyGuestPeer.name
	for _, load := range workloads {
		row, times := []string{load.title}, []string{load.title}
		for _, p := range r.Peers {
			o := r.find(p.Name, load.name)
			if o == nil {
				row, times = append(row, "–"), append(times, "–")
				continue
			}
			cell := number(o.median())
			if ratio := r.ratio(load.name, ours, p.Name); ratio != 0 && p.Name != ours {
				cell += fmt.Sprintf(" (%.2g×)", ratio)
			}
			row = append(row, cell)
			times = append(times, brief(o.Latencies.percentile(50))+" / "+brief(o.Latencies.percentile(99)))
		}
		if !empty(row) {
			speed, latency = append(speed, row), append(latency, times)
		}
	}
	table(w, speed)
	fmt.Fprintf(w, "The time of one call (of a whole batch; of a whole scan), p50 / p99:\n\n")
	table(w, latency)
	for _, p := range r.Peers {
		fmt.Fprintf(w, "- **%s**: %s", p.Name, p.About)
		for _, load := range workloads {
			if why := p.Cannot[load.name]; why != "" {
				fmt.Fprintf(w, "; no %s: %s", load.title, why)
			}
		}
		fmt.Fprintf(w, "\n")
	}
	fmt.Fprintf(w, "\nFor Redis 64 in flight are one pipeline of 64, a batch is an MSET, and a scan is SCAN and MGET, in no order.\n\n")
}

func empty(row []string) bool {
	return !slices.ContainsFunc(row[1:], func(s string) bool { return s != "–" })
}

func (r *results) reportFailover(w *bytes.Buffer) {
	fmt.Fprintf(w, "## Failover\n\n")
	fmt.Fprintf(w, "A database of 100 MB; the leader is killed with `kill -9` while %d other processes get and put without pause. The time\n"+
		"each of them goes without a successful call:\n\n", r.Settings.Survivors)
	rows := [][]string{{"", "kills", "p50", "p99", "max", ""}}
	for _, g := range r.Failover {
		row := []string{g.Peer, fmt.Sprint(g.Kills), "–", "–", "–", strings.Join(g.Faults, "; ")}
		if len(g.Gaps) > 0 {
			sorted := slices.Sorted(slices.Values(g.Gaps))
			row[2], row[3], row[4] = ms(quantile(sorted, .5)), ms(quantile(sorted, .99)), ms(sorted[len(sorted)-1])
		}
		rows = append(rows, row)
	}
	table(w, rows)
}

func (r *results) reportMemory(w *bytes.Buffer) {
	fmt.Fprintf(w, "## Memory\n\n")
	fmt.Fprintf(w, "What the leader grows by for each of %d guests that are connected, have made one call, and are idle:\n\n", r.Memory[0].Guests)
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

func (r *results) reportShort(w *bytes.Buffer) {
	fmt.Fprintf(w, "## Short processes\n\n")
	fmt.Fprintf(w, "A process that starts beside a leader, gets one key and ends, as its parent sees it; %d of each, in turn:\n\n", len(r.Short[0].Times))
	rows := [][]string{{"", "", "median", "p90"}}
	for _, t := range r.Short {
		rows = append(rows, []string{t.Name, t.About, ms(median(t.Times)), ms(quantile(t.Times, .9))})
	}
	table(w, rows)
}

// table writes a Markdown table: the first row is the head, and all columns but
// the first are flush right.
func table(w *bytes.Buffer, rows [][]string) {
	for i, row := range rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(w, "|---|%s\n", strings.Repeat("--:|", len(row)-1))
		}
	}
	fmt.Fprintf(w, "\n")
}

// number writes three digits that count, with thousands apart.
func number(v float64) string {
	if v > 0 {
		unit := math.Pow(10, max(0, math.Floor(math.Log10(v))-2))
		v = math.Round(v/unit) * unit
	}
	digits := fmt.Sprintf("%.0f", v)
	var parts []string
	for len(digits) > 3 {
		parts = append(parts, digits[len(digits)-3:])
		digits = digits[:len(digits)-3]
	}
	parts = append(parts, digits)
	slices.Reverse(parts)
	return strings.Join(parts, ",")
}

// brief writes a duration with two or three digits.
func brief(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.3g µs", float64(d)/float64(time.Microsecond))
	case d < time.Second:
		return ms(d)
	}
	return fmt.Sprintf("%.3g s", d.Seconds())
}
