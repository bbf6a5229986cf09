//go:build unix

package linear

import (
	"math"
)

// tighten narrows the times of operations by what must have come before what, so
// that the check has less to try. It returns copies, and takes no history for
// linearizable that is not, nor the other way round.
//
// Values are unique, so that a read tells which write it saw. If a must come
// before b then b takes effect after a's call, and a before b's return. And a must
// come before b if
//
//  1. b saw what a wrote;
//  2. a saw what w wrote, b wrote the same key, and w returned before b was
//     called: b is behind w, and what a saw was not b's;
//  3. r saw what b wrote, a wrote the same key, and a returned before r was
//     called: a is not between b and r.
//
// An operation of which something was seen has happened, though nobody may have
// told its process.
//
// ok is false if that ends in a contradiction: the history is not linearizable.
func tighten(init State, history []Op) (ops []*Op, ok bool) {
	ops = make([]*Op, len(history))
	writer := make(map[Write]*Op) // of what a reader can have seen
	var writers [MaxKeys][]*Op    // that have happened
	for i, o := range history {
		o.Reads, o.Writes = o.Reads[:len(o.Reads):len(o.Reads)], o.Writes[:len(o.Writes):len(o.Writes)]
		ops[i] = &o
		for _, w := range o.Writes {
			if w.Value != 0 {
				writer[w] = &o
			}
		}
	}
	// The initial values are one write before all.
	first := &Op{Call: math.MinInt64, Return: math.MinInt64, Outcome: Done}
	for key, id := range init {
		if id != 0 {
			writer[Write{key, id}] = first
		}
	}
	for changed := true; changed; {
		changed = false
		for _, o := range ops {
			if o.Outcome != Done || o.Differs {
				continue
			}
			for _, r := range o.Reads {
				if w := writer[Write{r.Key, r.Value}]; w != nil && w.Outcome == Unknown {
					w.Outcome, changed = Done, true
				}
			}
		}
	}
	type look struct{ r, w *Op } // r saw what w wrote
	var looks [MaxKeys][]look
	for _, o := range ops {
		if o.Outcome != Done {
			continue
		}
		var wrote [MaxKeys]bool
		for _, w := range o.Writes {
			if !wrote[w.Key] {
				wrote[w.Key] = true
				writers[w.Key] = append(writers[w.Key], o)
			}
		}
		if o.Differs {
			continue
		}
		for _, r := range o.Reads {
			if w := writer[Write{r.Key, r.Value}]; w != nil && w != o && !r.Any {
				looks[r.Key] = append(looks[r.Key], look{o, w})
			}
		}
	}
	changed := true
	order := func(a, b *Op) {
		if a == first {
			return
		}
		if b.Call < a.Call {
			b.Call, changed = a.Call, true
		}
		if a.Return > b.Return {
			a.Return, changed = b.Return, true
		}
	}
	for turn := 0; changed && turn < 50; turn++ {
		changed = false
		for key := range MaxKeys {
			for _, l := range looks[key] {
				order(l.w, l.r)
				for _, w := range writers[key] {
					switch {
					case w == l.w || w == l.r:
					case w.Call > l.w.Return:
						order(l.r, w)
					case w.Return < l.r.Call:
						order(w, l.w)
					}
				}
			}
		}
		for _, o := range ops {
			if o.Outcome == Done && o.Call > o.Return {
				return ops, false
			}
		}
	}
	return ops, true
}
