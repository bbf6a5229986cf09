//go:build linux

package soak

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/levelparty/party"
)

// Property 5: a counter that all processes add to by CompareAndSwap is at least
// what was acknowledged and at most what had begun. When all are dead it is taken
// for granted, so that what nobody was told does not add up.

// swap adds to the shared counters.
func (w *worker) swap(rnd *rand.Rand) {
	for w.goesOn(rnd, 25*time.Millisecond) {
		c := rnd.IntN(sharedCounters)
		w.readShared(c)
		key, m := sharedKey(c), w.board.shared(w.Slot, c)
		m.intend(m.intent() + 1)
		w.wrote(60)
		for {
			old, err := w.get(key)
			swapped := false
			if err == nil || err == errAbsent {
				n, numeric := number(old)
				if numeric != nil {
					w.lie("%s has a value that nobody wrote: %.80q", key, old)
					return
				}
				err = w.do("compare and swap", func(ctx context.Context) (err error) {
					swapped, err = w.db.CompareAndSwap(ctx, key, old, decimal(n+1), syncSometimes(rnd))
					return once(err)
				})
			} else {
				err = party.ErrNotSupported // nothing was tried
			}
			if err == nil && swapped {
				m.ack(m.acked() + 1)
				break
			}
			applied := err != nil && !errors.Is(err, party.ErrNotSupported) && !errors.Is(err, party.ErrConflict)
			if applied { // perhaps
				break
			}
			if err != nil || w.ctx.Err() != nil {
				m.intend(m.intent() - 1) // it was not
				break
			}
		}
	}
}

// readShared reads a shared counter, and judges.
func (w *worker) readShared(c int) {
	key := sharedKey(c)
	least, _ := w.board.counted(c)
	v, err := w.get(key)
	_, most := w.board.counted(c)
	if err != nil && err != errAbsent {
		return
	}
	if err := judgeShared(key, v, least, most); err != nil {
		w.lie("%v", err)
	}
}

func judgeShared(key, value []byte, least, most uint64) error {
	if n, err := number(value); err != nil || n < least || n > most {
		return lieOf("%s is %.80q; acknowledged were %d increments, and %d had begun", key, value, least, most)
	}
	return nil
}
