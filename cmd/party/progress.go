package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// progress draws a line on standard error while something takes longer than a
// second, if that is a terminal. Otherwise it does nothing.
type progress struct {
	stop chan struct{}
	done sync.WaitGroup
}

const (
	progressAfter = time.Second
	progressEvery = 150 * time.Millisecond
	barWidth      = 24
)

// startProgress begins. State is called for every redraw, from another
// goroutine: it returns how much is done, from 0 to 1 or negative if that is
// not known, and a few words.
func startProgress(label string, state func() (fraction float64, detail string)) *progress {
	p := &progress{stop: make(chan struct{})}
	if !isTerminal(os.Stderr) {
		return p
	}
	p.done.Go(func() {
		start := time.Now()
		next := time.NewTimer(progressAfter)
		defer next.Stop()
		most := -1.0 // a guess may go back, the bar does not
		for drawn := false; ; drawn = true {
			select {
			case <-p.stop:
				if drawn {
					fmt.Fprint(os.Stderr, "\r\x1b[K")
				}
				return
			case <-next.C:
			}
			fraction, detail := state()
			most = max(most, fraction)
			width, _ := terminalSize(os.Stderr)
			line := fmt.Sprintf("%s %s %s  %s", label, bar(most, time.Since(start)), brief(time.Since(start).Round(time.Second)), detail)
			fmt.Fprintf(os.Stderr, "\r%s\x1b[K", cut(line, width-1))
			next.Reset(progressEvery)
		}
	})
	return p
}

// end removes the line.
func (p *progress) end() {
	close(p.stop)
	p.done.Wait()
}

// bar is a bar that fills, or one with something wandering in it.
func bar(fraction float64, elapsed time.Duration) string {
	if fraction >= 0 {
		full := int(min(fraction, 1) * barWidth)
		return fmt.Sprintf("[%s%s] %3.0f%%", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), min(fraction, 1)*100)
	}
	cells := []byte(strings.Repeat(".", barWidth))
	at := int(elapsed/progressEvery) % (2 * (barWidth - 3))
	if at > barWidth-3 {
		at = 2*(barWidth-3) - at
	}
	copy(cells[at:], "###")
	return "[" + string(cells) + "]"
}
