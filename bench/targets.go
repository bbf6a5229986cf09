package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A target is what party sets out to reach: what it must, and what it aims at.
// Missing one fails nothing: machines differ, and so do their neighbours.

// clause asks that party is so many times as fast as a peer.
type clause struct {
	times float64
	peer  string
}

// speedTargets hold at every number of processes. A peer that is alone stands
// there with what its one process does.
var speedTargets = []struct {
	workload  string
	peer      string // of ours
	must, aim []clause
}{
	{"readrandom", "party", []clause{{.5, "lmdb"}, {2, "goleveldb"}}, []clause{{1.2, "lmdb"}}},
	{"overwrite", "party", []clause{{1.2, "lmdb"}}, []clause{{2, "lmdb"}, {1, "goleveldb"}}},
	{"fillsync", "party", []clause{{1, "goleveldb"}, {1, "sqlite"}}, []clause{{1, "lmdb"}, {1, "redis-aof"}}},
	{"fillsync-16", "party", []clause{{5, "sqlite"}}, []clause{{1.5, "redis-aof"}}},
	{"fillrandbatch", "party", []clause{{1.2, "lmdb"}}, []clause{{1, "goleveldb"}}},
	{"readseq", "party", []clause{{1.5, "goleveldb"}}, []clause{{.5, "lmdb"}}},
	{"mixed-95", "party", []clause{{.7, "lmdb"}}, []clause{{1.2, "lmdb"}}},
	{"readrandom-big", "party", []clause{{.5, "lmdb"}, {2, "goleveldb"}}, nil},

	// A guest on a socket.
	{"readrandom", "party-guest", []clause{{3, "rave-level"}, {.9, "redis"}}, nil},
	{"overwrite", "party-guest", []clause{{3, "rave-level"}, {.9, "redis"}}, nil},
	{"readrandom-64", "party-guest", []clause{{4, "rave-level"}}, nil},
	{"overwrite-64", "party-guest", []clause{{4, "rave-level"}}, nil},
	{"fillrandbatch", "party-guest", []clause{{3, "rave-level"}}, nil},
	{"readseq", "party-guest", []clause{{5, "rave-level"}}, nil},
}

const (
	// tailTarget is how many times its p50 the p99 of a get may be while another
	// process writes.
	tailTarget = 5
	// Of the survivors' longest gaps, p99.
	writeGapTarget = 10 * time.Millisecond
	readGapTarget  = 2 * time.Millisecond
	// memberTarget is what a process may add to its private memory beyond its
	// cache.
	memberTarget = 16 << 20
	// guestTarget is what an idle guest may cost the leader.
	guestTarget = 64 << 10
)

// verdict is one thing that has targets, and what came of it.
type verdict struct {
	what, processes, ours string
	must, aim             []judged
}

// judged is one target.
type judged struct {
	want, got string
	met       bool
}

// verdicts lists the targets that were measured.
func (r *results) verdicts() (list []verdict) {
	for _, t := range speedTargets {
		for _, n := range r.Settings.Processes {
			ours := r.find(t.peer, t.workload, n)
			if ours == nil {
				continue
			}
			v := verdict{what: findWorkload(t.workload).title, processes: itoa(n), ours: brief(ours.median()) + "/s",
				must: r.judge(t.workload, n, t.peer, t.must), aim: r.judge(t.workload, n, t.peer, t.aim)}
			if t.peer != partyPeer.name {
				v.what += " (" + t.peer + ")"
			}
			list = append(list, v)
		}
	}
	for _, n := range r.Settings.Processes {
		if o := r.find(partyPeer.name, "readwhilewriting", n); o != nil {
			p50, p99 := o.Latencies.percentile(50), o.Latencies.percentile(99)
			got := float64(p99) / float64(p50)
			list = append(list, verdict{what: findWorkload(o.Workload).title, processes: itoa(n), ours: ms(p50) + " / " + ms(p99),
				must: []judged{{fmt.Sprintf("p99 < %d× p50", tailTarget), times(got), got < tailTarget}}})
		}
	}
	if ours := r.short(partyPeer.name); ours != 0 {
		v := verdict{what: "whole short process", processes: "1", ours: ms(ours)}
		for peer, into := range map[string]*[]judged{sqlitePeer.name: &v.must, lmdbPeer.name: &v.aim} {
			if theirs := r.short(peer); theirs != 0 {
				*into = append(*into, judged{"as short as " + peer, ms(theirs), ours <= theirs})
			}
		}
		list = append(list, v)
	}
	for _, g := range r.Kills {
		if g.Peer == partyPeer.name && len(g.Writes) > 0 {
			reads, writes := percentile(g.Reads, .99), percentile(g.Writes, .99)
			list = append(list,
				verdict{what: "p99 of the longest time without a write, " + string(g.Victim) + " killed", ours: ms(writes),
					must: []judged{{"< " + ms(writeGapTarget), ms(writes), writes < writeGapTarget}}},
				verdict{what: "p99 of the longest time without a read, " + string(g.Victim) + " killed", ours: ms(reads),
					must: []judged{{"< " + ms(readGapTarget), ms(reads), reads < readGapTarget}}})
		}
	}
	for _, m := range r.Memory {
		if m.Peer == partyPeer.name {
			list = append(list, verdict{what: "leader's memory for an idle guest", ours: kib(m.Resident),
				must: []judged{{"< " + kib(guestTarget), kib(m.Resident), m.Resident < guestTarget}}})
		}
	}
	for _, m := range r.Members {
		beyond := m.Peak - int64(m.Cache)
		list = append(list, verdict{what: fmt.Sprintf("private memory that a process adds, its cache of %s apart", mib(m.Cache)), ours: mib(m.Peak),
			must: []judged{{"< " + mib(memberTarget), mib(beyond), beyond < memberTarget}}})
	}
	return list
}

// judge compares a peer of ours with others that were measured.
func (r *results) judge(workload string, processes int, ours string, clauses []clause) (list []judged) {
	for _, c := range clauses {
		got := r.ratio(workload, processes, ours, c.peer)
		if got == 0 {
			continue
		}
		list = append(list, judged{fmt.Sprintf("%.3g× %s", c.times, c.peer),
			times(got) + r.span(workload, processes, ours, c.peer), got >= c.times})
	}
	return list
}

// span tells from where to where the ratios of single rounds went.
func (r *results) span(workload string, processes int, ours, against string) string {
	a, b := r.find(ours, workload, processes), r.find(against, workload, processes)
	if len(a.PerSecond) < 2 || len(a.PerSecond) != len(b.PerSecond) {
		return ""
	}
	var ratios []float64
	for i := range a.PerSecond {
		ratios = append(ratios, a.PerSecond[i]/b.PerSecond[i])
	}
	return fmt.Sprintf(" (%.2g to %.2g)", slices.Min(ratios), slices.Max(ratios))
}

// cells writes judged targets, and the verdict on all of them.
func cells(list []judged) (text, verdict string) {
	if len(list) == 0 {
		return "", ""
	}
	var texts []string
	verdict = "met"
	for _, j := range list {
		texts = append(texts, j.want+": "+j.got)
		if !j.met {
			verdict = "missed"
		}
	}
	return strings.Join(texts, "; "), verdict
}

func findWorkload(name string) workload {
	for _, w := range workloads {
		if w.name == name {
			return w
		}
	}
	panic("no workload " + name)
}
