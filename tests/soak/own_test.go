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

// Property 1: a key that only one process writes has the value of a write that
// is at least as new as the last that was acknowledged before it was read, and at
// most as new as the last that had begun when it was read; whoever reads, and
// also when the writer has died.

// writeOwn writes the process's own keys, each write numbered. One whose outcome
// it is not told it tries again under the same number.
func (w *worker) writeOwn(rnd *rand.Rand) {
	w.forget("own")
	for w.goesOn(rnd, 8*time.Millisecond) {
		e := rnd.IntN(ownKeys)
		m := w.board.mark(w.Slot, w.Gen, e)
		n := m.acked() + 1
		m.intend(n)
		for try := uint64(1); ; try++ {
			if err := w.writeOnce(rnd, ownKey(w.Slot, w.Gen, e), stamp{n, try}); err == nil {
				m.ack(n)
				break
			}
			if !w.goesOn(rnd, time.Millisecond) {
				return
			}
		}
		if rnd.IntN(2) == 0 {
			w.readOwn(w.Slot, w.Gen, e)
		}
	}
}

func (w *worker) writeOnce(rnd *rand.Rand, key []byte, s stamp) error {
	value := stamped(key, s)
	w.wrote(len(key) + len(value))
	o := syncSometimes(rnd)
	if w.board.nodes() {
		o.Sync = o.Sync && rnd.IntN(2) == 0 // it will be refused
	}
	if s.N%deleteEvery == 0 {
		return w.do("delete", func(ctx context.Context) error { return w.db.Delete(ctx, key, o) })
	}
	switch rnd.IntN(8) {
	case 0:
		var b party.Batch
		b.Put(key, value)
		b.Put(ballastKey(ballasts+w.Slot), stamped(ballastKey(ballasts+w.Slot), s))
		w.wrote(b.Size())
		return w.do("write", func(ctx context.Context) error { return w.db.Write(ctx, &b, o) })
	case 1:
		return w.do("update", func(ctx context.Context) error {
			return once(w.db.Update(ctx, func(tx *party.Tx) error { return tx.Put(key, value) }, o))
		})
	}
	return w.do("put", func(ctx context.Context) error { return w.db.Put(ctx, key, value, o) })
}

// peek reads what the other processes, and their predecessors, own.
func (w *worker) peek(rnd *rand.Rand) {
	for w.goesOn(rnd, 3*time.Millisecond) {
		slot := rnd.IntN(slots)
		gen := w.board.gen(slot)
		if rnd.IntN(4) == 0 && gen > 0 {
			gen--
		}
		w.readOwn(slot, gen, rnd.IntN(ownKeys))
	}
}

// readOwn reads an entry of a slot's generation, and judges.
func (w *worker) readOwn(slot int, gen uint64, e int) {
	if !w.board.holds(slot, gen) {
		return
	}
	key, m := ownKey(slot, gen, e), w.board.mark(slot, gen, e)
	least := m.acked()
	value, err := w.get(key)
	most := m.intent()
	if err != nil && err != errAbsent || !w.board.holds(slot, gen) {
		return
	}
	if err := judgeOwn(key, value, least, most); err != nil {
		w.lie("%v", err)
	}
}

// judgeOwn looks whether a value, nil if there is none, comes from a write
// within the bounds.
func judgeOwn(key, value []byte, least, most uint64) error {
	if value == nil {
		if last := most - most%deleteEvery; last < least { // no write and deletions are number 0, 7 and so on
			return lieOf("%s is missing; acknowledged was write %d, and %d had begun", key, least, most)
		}
		return nil
	}
	s, err := parseStamp(key, value)
	if err == nil && (s.N < least || s.N > most) {
		err = lieOf("%s is of write %d; acknowledged was %d, and %d had begun", key, s.N, least, most)
	}
	return err
}

// forget removes the keys of generations that are no longer kept.
func (w *worker) forget(kind string) {
	if w.Gen < 2 {
		return
	}
	r := prefix(kind + "/")
	r.GTE = bytes.TrimSuffix(ownKey(w.Slot, 0, 0), []byte("00000000/00"))
	r.LT = bytes.TrimSuffix(ownKey(w.Slot, w.Gen-1, 0), []byte("/00"))
	r.GTE, r.LT = bytes.Replace(r.GTE, []byte("own"), []byte(kind), 1), bytes.Replace(r.LT, []byte("own"), []byte(kind), 1)
	for {
		err := w.do("clear", func(ctx context.Context) error { return w.db.Clear(ctx, party.ClearOptions{Range: r}) })
		if err == nil || errors.Is(err, party.ErrClosed) || w.ctx.Err() != nil {
			return
		}
	}
}
