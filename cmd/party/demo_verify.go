package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/levelparty/party"
)

// demoResult is what is found in the directory when all processes are gone.
type demoResult struct {
	acknowledged uint64 // puts
	checked      int    // keys
	lost         []string
	unknown      []string // records nobody can have put
}

// good reports whether the demo shows what it is to show.
func (r *demoResult) good(d *demo) bool {
	return len(r.lost) == 0 && len(r.unknown) == 0 && d.staleReads() == 0 && len(d.failed) == 0
}

// verify compares the database with the journals. A key must hold the last
// acknowledged put of it, or a later one that a killed process has begun.
func (d *demo) verify(ctx context.Context) (*demoResult, error) {
	db, err := party.Open(ctx, d.dir, &party.Options{ReadOnly: true, MustExist: true})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	found := map[string]demoRecord{}
	records := party.NewTyped(db, party.UTF8, party.JSON[demoRecord]())
	for e, err := range records.All(ctx, nil) {
		if err != nil {
			return nil, err
		}
		found[e.Key] = e.Value
	}
	r := &demoResult{}
	for _, c := range d.children {
		if c.journal == nil {
			continue
		}
		last, err := c.journal.read()
		if err != nil {
			return nil, err
		}
		r.compare(c, last, found)
	}
	for key := range found {
		r.unknown = append(r.unknown, key+": nobody's key")
	}
	return r, nil
}

// compare looks for the writes of c, and takes those it knows out of found.
func (r *demoResult) compare(c *demoChild, last uint64, found map[string]demoRecord) {
	skipped := uint64(0)
	for n := range c.skipped {
		if n <= last {
			skipped++
		}
	}
	r.acknowledged += last - skipped
	// A put that was never acknowledged may lie behind the last that was.
	for n := range c.skipped {
		last = max(last, n)
	}
	for i := uint64(0); i < demoSlots && i < last; i++ {
		newest := last - i
		key := demoKey(c.writer, newest)
		got, ok := found[key]
		delete(found, key)
		// Of the puts of this key, the newest that was acknowledged.
		want := newest
		for c.skipped[want] {
			if want <= demoSlots {
				want = 0
				break
			}
			want -= demoSlots
		}
		if want > 0 {
			r.checked++
		}
		switch {
		case want == 0 && !ok, ok && got.N == want:
		case !ok || got.N < want:
			r.lost = append(r.lost, fmt.Sprintf("%s: put %d was acknowledged, found %d", key, want, got.N))
		case !c.skipped[got.N]:
			r.unknown = append(r.unknown, fmt.Sprintf("%s: put %d was the last, found %d", key, want, got.N))
		}
	}
}

func (d *demo) staleReads() (n uint64) {
	for _, c := range d.children {
		n += c.stale
	}
	return n
}

// printSummary prints what the run came to.
func (d *demo) printSummary(w io.Writer, r *demoResult) {
	st := newStyles()
	reads := d.children[len(d.children)-1].total()
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-24s "+format+"\n", append([]any{name}, args...)...)
	}
	fmt.Fprintf(w, "\n%s, %d processes, the leader killed %d times (seed %d)\n\n",
		brief(d.ended.Sub(d.start)), len(d.children), len(d.kills), d.o.seed)
	row("writes acknowledged", "%s", grouped(r.acknowledged))
	row("lost", "%s", grouped(len(r.lost)))
	if len(r.unknown) > 0 {
		row("wrong", "%s", grouped(len(r.unknown)))
	}
	row("reads", "%s", grouped(reads))
	row("older than acknowledged", "%s", grouped(d.staleReads()))
	row("calls that failed", "%s", grouped(len(d.failed)))
	if len(d.kills) > 0 {
		row("wait after a kill", "%s (median), %s (longest)", brief(d.waited(0.5)), brief(d.waited(1)))
	}
	row("longest wait otherwise", "%s", brief(d.quiet))
	fmt.Fprintln(w)
	for _, list := range [][]string{d.failed, r.lost, r.unknown} {
		for _, line := range list[:min(len(list), 5)] {
			fmt.Fprintln(w, "  "+line)
		}
	}
	if r.good(d) {
		fmt.Fprintln(w, st.paint(green, fmt.Sprintf("Every acknowledged write is there: %s keys checked.", grouped(r.checked))))
		return
	}
	var faults []string
	for _, f := range []struct {
		n    int
		what string
	}{
		{len(r.lost), "writes lost"}, {len(r.unknown), "wrong records"},
		{int(d.staleReads()), "reads too old"}, {len(d.failed), "calls failed"},
	} {
		if f.n > 0 {
			faults = append(faults, grouped(f.n)+" "+f.what)
		}
	}
	fmt.Fprintln(w, st.paint(red, "FAILED: "+strings.Join(faults, ", ")+"."))
}

// waited returns the wait at quantile q of the kills.
func (d *demo) waited(q float64) time.Duration {
	waits := make([]time.Duration, len(d.kills))
	for i, k := range d.kills {
		waits[i] = k.waited
	}
	slices.Sort(waits)
	return waits[int(q*float64(len(waits)-1))]
}
