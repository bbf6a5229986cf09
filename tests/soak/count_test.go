//go:build linux

package soak

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/levelparty/party"
)

// Property 4: what is counted by Update is counted once. Each increment adds to a
// total and to the part of its process: in every state the total is the sum of
// the parts, and each part is at least the increments that were acknowledged and
// at most those that had begun. What a call was not told may have been applied,
// once.

// count adds to the total, and looks at all parts.
func (w *worker) count(rnd *rand.Rand) {
	m, part := w.board.mark(w.Slot, w.Gen, markCount), partKey(w.Slot, w.Gen)
	folded := false
	for w.goesOn(rnd, 30*time.Millisecond) {
		if !folded {
			folded = w.fold() == nil
			continue
		}
		m.intend(m.intent() + 1)
		w.wrote(100)
		err := w.do("count", func(ctx context.Context) error {
			return once(w.db.Update(ctx, func(tx *party.Tx) error {
				for _, key := range [][]byte{totalKey, part} {
					if err := add(tx, key, 1); err != nil {
						return err
					}
				}
				return nil
			}, syncSometimes(rnd)))
		})
		switch {
		case err == nil:
			m.ack(m.acked() + 1)
		case errors.Is(err, party.ErrNotSupported), errors.Is(err, party.ErrConflict):
			m.intend(m.intent() - 1) // it was not applied
		}
		if rnd.IntN(4) == 0 {
			w.readCounts()
		}
	}
}

func add(tx *party.Tx, key []byte, n uint64) error {
	v, err := tx.Get(key)
	if err != nil && !isAbsent(err) {
		return err
	}
	old, err := number(v)
	if err != nil {
		return lieOf("%s has a value that nobody wrote: %.80q", key, v)
	}
	return tx.Put(key, decimal(old+n))
}

// fold adds the parts of generations that are no longer kept to the base, which
// is a part like them.
func (w *worker) fold() error {
	return w.do("fold", func(ctx context.Context) error {
		return once(w.db.Update(ctx, func(tx *party.Tx) error {
			counts := make(map[string]uint64)
			for e, err := range tx.All(party.IteratorOptions{Range: prefix("count/")}) {
				if err != nil {
					return err
				}
				n, err := number(e.Value)
				if err != nil {
					return lieOf("%s has a value that nobody wrote: %.80q", e.Key, e.Value)
				}
				counts[string(e.Key)] = n
			}
			for key, n := range counts {
				if _, slot, gen, _, ok := parseKey([]byte(key)); ok && slot == w.Slot && gen+1 < w.Gen {
					if err := errors.Join(add(tx, baseKey, n), tx.Delete([]byte(key))); err != nil {
						return err
					}
				}
			}
			return nil
		}))
	})
}

// readCounts looks at the total and all parts in one state.
func (w *worker) readCounts() {
	least := make(map[string]uint64)
	for slot := range slots {
		for _, gen := range []uint64{w.board.gen(slot), w.board.gen(slot) - 1} {
			if w.board.holds(slot, gen) {
				least[string(partKey(slot, gen))] = w.board.mark(slot, gen, markCount).acked()
			}
		}
	}
	var entries []party.Entry
	if w.do("view counts", func(ctx context.Context) error {
		entries = entries[:0]
		return w.ended(w.db.View(ctx, func(tx *party.Tx) error {
			for e, err := range tx.All(party.IteratorOptions{Range: prefix("count/")}) {
				if err != nil {
					return err
				}
				entries = append(entries, e)
			}
			return nil
		}))
	}) != nil {
		return
	}
	if err := judgeCounts(entries, w.board, least); err != nil {
		w.lie("%v", err)
	}
}

// judgeCounts looks at the entries of one state. Least is what the parts had to
// be before it was read.
func judgeCounts(entries []party.Entry, b *board, least map[string]uint64) error {
	var total, sum uint64
	found := make(map[string]uint64)
	for _, e := range entries {
		n, err := number(e.Value)
		if err != nil {
			return lieOf("%s has a value that nobody wrote: %.80q", e.Key, e.Value)
		}
		found[string(e.Key)] = n
		if bytes.Equal(e.Key, totalKey) {
			total = n
		} else {
			sum += n
		}
	}
	if total != sum {
		return lieOf("the total is %d, the sum of the parts %d: %v", total, sum, found)
	}
	for key, least := range least {
		_, slot, gen, _, _ := parseKey([]byte(key))
		most := b.mark(slot, gen, markCount).intent()
		if !b.holds(slot, gen) {
			continue
		}
		if n := found[key]; n < least || n > most {
			return lieOf("%s is %d; acknowledged were %d increments, and %d had begun", key, n, least, most)
		}
	}
	return nil
}
