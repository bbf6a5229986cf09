package main

import (
	"context"
	"sync/atomic"
	"time"
)

// patience ends a context when one wait takes too long. It bounds the waits,
// not their sum: a scan that makes progress may take hours.
//
// Entering and leaving a wait happens for every entry of a scan, so it is an
// atomic add; a timer looks from time to time whether the same wait goes on.
type patience struct {
	turn   atomic.Uint64 // odd while waiting
	limit  time.Duration
	cancel context.CancelCauseFunc
	timer  *time.Timer

	// The timer's own: the turn it saw last, and how often.
	seen  uint64
	stuck int
}

// patienceTicks is how often the timer looks within one limit.
const patienceTicks = 20

func withPatience(parent context.Context, limit time.Duration) (context.Context, *patience) {
	ctx, cancel := context.WithCancelCause(parent)
	p := &patience{limit: limit, cancel: cancel}
	if limit > 0 {
		// Set before the first tick can fire and Reset it.
		p.timer = time.AfterFunc(time.Hour, p.tick)
		p.timer.Reset(limit / patienceTicks)
	}
	return ctx, p
}

func (p *patience) enter() { p.turn.Add(1) }
func (p *patience) leave() { p.turn.Add(1) }

func (p *patience) tick() {
	turn := p.turn.Load()
	if turn%2 == 0 || turn != p.seen {
		p.stuck = 0
	}
	p.seen = turn
	if p.stuck++; p.stuck >= patienceTicks {
		p.cancel(timeoutError{limit: p.limit})
		return
	}
	p.timer.Reset(p.limit / patienceTicks)
}

// stop releases the timer. The context ends with it.
func (p *patience) stop() {
	if p.timer != nil {
		p.timer.Stop()
	}
	p.cancel(nil)
}
