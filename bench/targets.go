package main

import (
	"fmt"
	"time"
)

// A target is what party sets out to reach. Missing one fails nothing: machines
// differ, and so do their neighbours.

// level is how near "as fast as" is.
const level = 0.9

// ratios party is to reach.
var ratioTargets = []struct {
	workload, peer, against string
	want                    float64
}{
	{"readrandom", "party", "rave-level", 3},
	{"overwrite", "party", "rave-level", 3},
	{"readrandom-64", "party", "rave-level", 4},
	{"overwrite-64", "party", "rave-level", 4},
	{"fillrandbatch", "party", "rave-level", 3},
	{"readseq", "party", "rave-level", 5},
	{"readrandom", "party", "redis", level},
	{"overwrite", "party", "redis", level},
	{"readrandom", "party-leader", "goleveldb", level},
}

const (
	gapTarget    = 30 * time.Millisecond // median
	memoryTarget = 64 << 10
	shortTarget  = 5 * time.Millisecond // median
)

// verdict is one target and what came of it.
type verdict struct {
	what, want, got string
	met             bool
}

// verdicts lists the targets that were measured.
func (r *results) verdicts() (list []verdict) {
	for _, t := range ratioTargets {
		got := r.ratio(t.workload, t.peer, t.against)
		if got == 0 {
			continue
		}
		list = append(list, verdict{
			what: fmt.Sprintf("%s: %s against %s", findWorkload(t.workload).title, t.peer, t.against),
			want: fmt.Sprintf("≥ %.3g×", t.want), got: fmt.Sprintf("%.2f×", got), met: got >= t.want,
		})
	}
	for _, g := range r.Failover {
		if g.Peer == partyGuestPeer.name && len(g.Gaps) > 0 {
			got := median(append([]time.Duration(nil), g.Gaps...))
			list = append(list, verdict{"gap after the leader is killed, median", "< " + ms(gapTarget), ms(got), got < gapTarget})
		}
	}
	for _, m := range r.Memory {
		if m.Peer == partyGuestPeer.name {
			list = append(list, verdict{"leader's memory for an idle guest", "< " + kib(memoryTarget), kib(m.Resident), m.Resident < memoryTarget})
		}
	}
	for _, t := range r.Short {
		if t.Name == "party" || t.Name == "party get" {
			got := median(t.Times)
			list = append(list, verdict{"whole short process, " + t.About + ", median", "< " + ms(shortTarget), ms(got), got < shortTarget})
		}
	}
	return list
}

func findWorkload(name string) workload {
	for _, w := range workloads {
		if w.name == name {
			return w
		}
	}
	panic("no workload " + name)
}

func ms(d time.Duration) string {
	return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
}

func kib[T int | float64](bytes T) string { return fmt.Sprintf("%.3g KiB", float64(bytes)/1024) }
