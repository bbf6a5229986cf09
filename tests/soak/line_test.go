//go:build linux

package soak

import (
	"fmt"
	"testing"
	"time"
)

// measure prints a line a minute until the run ends. Its sample is the median of
// some, so that the moment when all are dead is not what is seen.
func (r *run) measure(t *testing.T, m *meter) {
	every := r.pick(5*time.Second, 500*time.Millisecond)
	minute, last := time.Now().Add(time.Minute), uint64(0)
	var some []sample
	for {
		r.sleep(every)
		ended := r.ctx.Err() != nil
		if !ended {
			some = append(some, r.take())
		}
		if len(some) > 0 && (ended || time.Now().After(minute)) {
			m.minutes = append(m.minutes, median(some))
		}
		if ended {
			return
		}
		if time.Now().After(minute) {
			now := r.tallied()
			show(t, fmt.Sprintf("%s  %v", time.Now().Format(time.TimeOnly), r.line(now, float64(now.did.Ops-last)/60, m.minutes[len(m.minutes)-1])))
			minute, last, some = minute.Add(time.Minute), now.did.Ops, some[:0]
		}
	}
}

func (r *run) line(t tally, perSecond float64, s sample) string {
	return fmt.Sprintf("%v  ops %d (%.0f/s)  %v %v", time.Since(r.start).Round(time.Second), t.did.Ops, perSecond, t, s)
}

func (t tally) String() string {
	return fmt.Sprintf("kills %d stops %d ends %d (leader %d) all %d joins %d elections %d |"+
		" checks %d (refused %d) dead %d opinions %d histories %d (undecided %d) |"+
		" watched %d (compared %d gaps %d) held %d (lost %d) unknown %d conflicts %d npm %d |",
		t.kills, t.stops, t.ends, t.leaders, t.alls, t.joins, t.elections,
		t.live, t.refused, t.offline, t.opinions, t.histories, t.doubtful,
		t.did.Watched, t.did.Compared, t.did.Gaps, t.did.Held, t.did.Lost, t.did.Unknown, t.did.Conflicts, t.npm)
}

// summary prints what the run did, and whether it grew: the first ten minutes
// beside the last, or thirds of a shorter run.
func (r *run) summary(t *testing.T, m *meter) {
	now := r.tallied()
	length := time.Since(r.start)
	part := min(10, (len(m.minutes)+2)/3)
	first, last := median(m.minutes[:part]), median(m.minutes[len(m.minutes)-part:])
	show(t, fmt.Sprintf("in all  %s", r.line(now, float64(now.did.Ops)/length.Seconds(), median(m.minutes))))
	show(t, fmt.Sprintf("first %d min  %v", part, first))
	show(t, fmt.Sprintf("last  %d min  %v", part, last))
	if now.did.Ops == 0 || now.offline == 0 && len(r.told()) == 0 {
		t.Error("nothing was done")
	}
}
