package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// demoScreen is the view for a terminal: a small dashboard on the alternate
// screen, where a change of size leaves no debris. The size is asked for at
// every redraw.
type demoScreen struct {
	d    *demo
	st   styles
	next time.Time
}

// alternate tells restoreTerminal that there is something to restore.
var alternate atomic.Bool

func newDemoScreen(d *demo) *demoScreen {
	alternate.Store(true)
	fmt.Print("\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J")
	v := &demoScreen{d: d, st: newStyles()}
	v.draw()
	return v
}

// restoreTerminal leaves the alternate screen.
func restoreTerminal() {
	if alternate.Swap(false) {
		fmt.Print("\x1b[?25h\x1b[?1049l")
	}
}

func (v *demoScreen) started()             { v.draw() }
func (v *demoScreen) killed(*demoKill)     { v.draw() }
func (v *demoScreen) restarted(*demoChild) {}
func (v *demoScreen) role(*demoChild)      {}

func (v *demoScreen) update(now time.Time) {
	if now.Before(v.next) {
		return
	}
	v.next = now.Add(demoTick)
	v.d.sample()
	v.draw()
}

// end leaves the last state on the ordinary screen.
func (v *demoScreen) end() {
	restoreTerminal()
	if v.d.ended.IsZero() {
		return
	}
	width, _ := terminalSize(os.Stdout)
	for _, l := range v.lines() {
		fmt.Println(v.st.line(width-1, l...))
	}
}

func (v *demoScreen) draw() {
	width, height := terminalSize(os.Stdout)
	lines := v.lines()
	// Of what does not fit, the oldest kills are spared first, then space.
	if over := len(lines) - (height - 1); over > 0 {
		kills := len(v.d.kills)
		drop := min(over, max(kills-1, 0))
		at := len(lines) - kills
		lines = append(lines[:at:at], lines[at+drop:]...)
	}
	if len(lines) > height-1 {
		lines = slices.DeleteFunc(lines, func(l []span) bool { return len(l) == 0 })
		lines = lines[:min(len(lines), max(height-1, 0))]
	}
	var b strings.Builder
	b.WriteString("\x1b[H")
	for _, l := range lines {
		b.WriteString(v.st.line(width-1, l...))
		b.WriteString("\x1b[K\r\n")
	}
	b.WriteString("\x1b[J")
	os.Stdout.WriteString(b.String())
}

func (v *demoScreen) lines() (lines [][]span) {
	add := func(spans ...span) { lines = append(lines, spans) }
	d := v.d
	elapsed := time.Duration(0)
	switch {
	case !d.ended.IsZero():
		elapsed = d.ended.Sub(d.start)
	case !d.start.IsZero():
		elapsed = time.Since(d.start)
	}
	add(span{"party demo", bold}, span{fmt.Sprintf("  %4.1f of %v", elapsed.Seconds(), d.o.duration), plain},
		span{fmt.Sprintf("   %d processes, one LevelDB directory, no server", len(d.children)), dim})
	add(span{d.dir, dim})
	add()
	add(span{fmt.Sprintf("  %-10s %8s  %-9s %16s  %s", "process", "pid", "role", "per second", "longest wait"), dim})
	for _, c := range d.children {
		add(v.child(c)...)
	}
	add()
	puts, gets := d.rates()
	add(span{fmt.Sprintf("  %s puts/s   %s gets/s   ", grouped(int64(puts)), grouped(int64(gets))), bold},
		span{sparkline(d.history, 30), cyan})
	add()
	if len(d.kills) > 0 {
		add(span{fmt.Sprintf("  %-7s %-20s %-20s %s", "at", "kill -9", "next leader", "others waited"), dim})
	}
	for _, k := range d.kills {
		next, st := "...", yellow
		if k.next != "" {
			next, st = fmt.Sprintf("%d %s", k.nextPID, k.next), green
		}
		add(span{fmt.Sprintf("  %4.1f s  ", k.at.Sub(d.start).Seconds()), plain},
			span{fmt.Sprintf("%-20s ", fmt.Sprintf("%d %s", k.pid, k.name)), red},
			span{fmt.Sprintf("%-20s ", next), st},
			span{brief(k.waited), plain})
	}
	return lines
}

func (v *demoScreen) child(c *demoChild) []span {
	pid, rate, longest := "", "", ""
	if c.proc != nil {
		pid = fmt.Sprint(c.proc.pid)
	}
	unit := "puts"
	if c.writer == 0 {
		unit = "gets"
	}
	if n := c.rate.perSecond(); n > 0 {
		rate = grouped(int64(n)) + " " + unit
	}
	if c.longest > 0 {
		longest = brief(c.longest)
	}
	st, mark := plain, "  "
	switch c.role {
	case "leader":
		st, mark = green, "> "
	case "killed":
		st = red
	case "electing", "starting":
		st = yellow
	}
	return []span{
		{mark, st}, {fmt.Sprintf("%-10s %8s  ", c.name(), pid), plain},
		{fmt.Sprintf("%-9s", c.role), st},
		{fmt.Sprintf(" %16s  %s", rate, longest), plain},
	}
}

// sparkline draws the last values as a row of bars.
func sparkline(values []float64, width int) string {
	values = values[max(len(values)-width, 0):]
	top := 1.0
	for _, v := range values {
		top = max(top, v)
	}
	bars := []rune("▁▂▃▄▅▆▇█")
	row := make([]rune, len(values))
	for i, v := range values {
		row[i] = bars[int(v/top*float64(len(bars)-1)+0.5)]
	}
	return string(row)
}
