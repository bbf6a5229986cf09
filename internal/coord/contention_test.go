//go:build linux

package coord_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/levelparty/party/internal/partytest"
)

// A round of work, as hammers report it.
type round struct {
	N       int
	Longest time.Duration // for the lock
}

// hammer takes the write lock, holds it for some microseconds and gives it up,
// again and again, for as long as the order says.
func hammer(p *partytest.Self) error {
	c, err := join(context.Background(), p.Args[0])
	if err != nil {
		return err
	}
	defer c.Leave(nil)
	hold, err := strconv.Atoi(p.Args[1])
	if err != nil {
		return err
	}
	p.Report(round{})
	for {
		var d time.Duration
		if err := p.Order(&d); err != nil {
			return err
		}
		var r round
		for start := time.Now(); time.Since(start) < d; {
			before := time.Now()
			if _, err := c.Lock(context.Background()); err != nil {
				return err
			}
			r.Longest = max(r.Longest, time.Since(before))
			for held := time.Now(); time.Since(held) < time.Duration(hold); {
			}
			s := c.State()
			s.Seq++
			c.Publish(s)
			c.Unlock()
			r.N++
		}
		p.Report(r)
	}
}

func hammers(t testing.TB, dir string, n int, hold time.Duration) []*partytest.Process {
	var all []*partytest.Process
	for range n {
		p := partytest.Start(t, "hammer", dir, fmt.Sprint(int(hold)))
		p.Expect(&round{})
		all = append(all, p)
	}
	return all
}

// swing makes all hammers work for d and returns what they did.
func swing(all []*partytest.Process, d time.Duration) (rounds []round, sum int) {
	for _, p := range all {
		p.Order(d)
	}
	for _, p := range all {
		var r round
		p.Expect(&r)
		rounds = append(rounds, r)
		sum += r.N
	}
	return rounds, sum
}

// One process after the other, and then several at once, do what takes 3
// microseconds under the lock.
func BenchmarkContended(b *testing.B) {
	for _, n := range []int{1, 2, 4, 8} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := b.TempDir()
			open(b, dir)
			all := hammers(b, dir, n, 3*time.Microsecond)
			const d = time.Second
			for b.Loop() {
				rounds, sum := swing(all, d)
				b.ReportMetric(float64(sum)/d.Seconds(), "locks/s")
				least, most, longest := sum, 0, time.Duration(0)
				for _, r := range rounds {
					least, most, longest = min(least, r.N), max(most, r.N), max(longest, r.Longest)
				}
				b.ReportMetric(float64(least), "least")
				b.ReportMetric(float64(most), "most")
				b.ReportMetric(float64(longest.Microseconds()), "longest-us")
			}
		})
	}
}
