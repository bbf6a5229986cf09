package main

import (
	"fmt"
	"os"
	"time"
)

// demoView shows a demo while it runs. It is told of what happens and reads
// the rest from the demo.
type demoView interface {
	started()
	killed(*demoKill)
	restarted(*demoChild)
	role(*demoChild)
	update(now time.Time) // often
	end()
}

func newDemoView(d *demo) demoView {
	if isTerminal(os.Stdout) && os.Getenv("TERM") != "dumb" && enableANSI(os.Stdout) {
		return newDemoScreen(d)
	}
	return &demoLines{d: d}
}

// demoLines is the view for pipes and files: a line a second, and one for each
// thing that happens.
type demoLines struct {
	d    *demo
	next time.Time
}

// demoTellAfter is when the wait after a kill is told: all survivors will have
// reported.
const demoTellAfter = 500 * time.Millisecond

func (v *demoLines) say(format string, args ...any) {
	printLine("%5.1f s  "+format, append([]any{time.Since(v.d.start).Seconds()}, args...)...)
}

func (v *demoLines) started() {
	v.next = v.d.start.Add(time.Second)
	printLine("%d processes share %s", len(v.d.children), v.d.dir)
	for _, c := range v.d.children {
		v.say("%s is process %d, %s", c.name(), c.proc.pid, c.role)
	}
}

func (v *demoLines) killed(k *demoKill) {
	v.tell(k)
	v.say("kill -9 %d (%s), the leader", k.pid, k.name)
}

func (v *demoLines) restarted(c *demoChild) {
	v.say("%s started again as process %d", c.name(), c.proc.pid)
}

func (v *demoLines) role(c *demoChild) {
	if !v.d.start.IsZero() && c.role == "leader" {
		v.say("process %d (%s) leads", c.proc.pid, c.name())
	}
}

// tell tells how long the others waited, as soon as that is known, or now for
// the kills before k.
func (v *demoLines) tell(before *demoKill) {
	for _, k := range v.d.kills {
		if k == before {
			return
		}
		if !k.told && (before != nil || time.Since(k.at) > demoTellAfter) {
			k.told = true
			v.say("the others waited %s at most", brief(k.waited))
		}
	}
}

func (v *demoLines) update(now time.Time) {
	v.tell(nil)
	if now.Before(v.next) {
		return
	}
	v.next = v.next.Add(time.Second)
	leader := "nobody"
	if c := v.d.leader(); c != nil {
		leader = fmt.Sprintf("%d (%s)", c.proc.pid, c.name())
	}
	puts, gets := v.d.rates()
	v.say("leader %s, puts %s/s, gets %s/s", leader, grouped(int64(puts)), grouped(int64(gets)))
}

func (v *demoLines) end() {
	if !v.d.ended.IsZero() {
		v.tell(&demoKill{})
	}
}
