//go:build linux

package soak

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/levelparty/party"
)

// Property 2: keys that are written together are read together: in every state
// that anybody reads all of them come from the same batch, which is at least the
// last that was acknowledged and at most the last that had begun.

const batchKeys = 6

// writeBatches writes the process's batch again and again, and reads those of all.
func (w *worker) writeBatches(rnd *rand.Rand) {
	w.forget("batch")
	m := w.board.mark(w.Slot, w.Gen, markBatch)
	for w.goesOn(rnd, 20*time.Millisecond) {
		n := m.acked() + 1
		m.intend(n)
		for try := uint64(1); ; try++ {
			var b party.Batch
			for i := range batchKeys {
				if key := batchKey(w.Slot, w.Gen, i); n%deleteBatch == 0 {
					b.Delete(key)
				} else {
					b.Put(key, stamped(key, stamp{n, try}))
				}
			}
			w.wrote(b.Size())
			if w.do("write a batch", func(ctx context.Context) error { return w.db.Write(ctx, &b) }) == nil {
				m.ack(n)
				break
			}
			if !w.goesOn(rnd, time.Millisecond) {
				return
			}
		}
		slot := rnd.IntN(slots)
		w.readBatch(rnd, slot, w.board.gen(slot))
	}
}

// readBatch reads the batch of a slot's generation in one of the ways to read one
// state, and judges.
func (w *worker) readBatch(rnd *rand.Rand, slot int, gen uint64) {
	if !w.board.holds(slot, gen) {
		return
	}
	m := w.board.mark(slot, gen, markBatch)
	var keys [][]byte
	for i := range batchKeys {
		keys = append(keys, batchKey(slot, gen, i))
	}
	least := m.acked()
	values, err := w.readState(rnd, keys)
	most := m.intent()
	if err != nil || !w.board.holds(slot, gen) {
		return
	}
	if err := judgeBatch(keys, values, least, most); err != nil {
		w.lie("%v", err)
	}
}

// readState reads keys from one state of the database, in one of the ways there
// are. The value of a missing key is nil.
func (w *worker) readState(rnd *rand.Rand, keys [][]byte) (values [][]byte, err error) {
	values = make([][]byte, len(keys))
	pick := func(i int, v []byte, err error) error {
		if err == nil {
			values[i] = v
		} else if isAbsent(err) {
			err = nil
		}
		return err
	}
	switch rnd.IntN(4) {
	case 0:
		err = w.do("get many", func(ctx context.Context) (err error) {
			values, err = w.db.GetMany(ctx, keys)
			return err
		})
	case 1:
		err = w.do("view", func(ctx context.Context) error {
			return w.ended(w.db.View(ctx, func(tx *party.Tx) error {
				for i, key := range keys {
					v, err := tx.Get(key)
					if err := pick(i, v, err); err != nil {
						return err
					}
				}
				return nil
			}))
		})
	case 2:
		err = w.do("read a snapshot", func(ctx context.Context) error {
			snap, err := w.db.Snapshot(ctx)
			if err != nil {
				return err
			}
			defer snap.Close()
			for i, key := range keys {
				v, err := snap.Get(ctx, key)
				if err := pick(i, v, err); err != nil {
					return w.ended(err)
				}
			}
			return nil
		})
	case 3:
		err = w.do("iterate over one state", func(ctx context.Context) error {
			it := w.db.Iterator(ctx, party.IteratorOptions{
				Range: party.Range{GTE: keys[0], LTE: keys[len(keys)-1]}, OneState: true,
			})
			defer it.Close()
			i := 0
			for it.Next() {
				for i < len(keys) && string(keys[i]) < string(it.Key()) {
					i++
				}
				if i < len(keys) && string(keys[i]) == string(it.Key()) {
					values[i] = append([]byte{}, it.Value()...)
				}
			}
			return once(it.Err())
		})
	}
	return values, err
}

// judgeBatch looks whether values, nil where there is none, come from one batch
// within the bounds.
func judgeBatch(keys, values [][]byte, least, most uint64) error {
	var first stamp
	for i, v := range values {
		if (v == nil) != (values[0] == nil) {
			return lieOf("of a batch %s is there: %v, and %s: %v", keys[0], values[0] != nil, keys[i], v != nil)
		}
		if v == nil {
			continue
		}
		s, err := parseStamp(keys[i], v)
		if err != nil {
			return err
		}
		if i == 0 {
			first = s
		}
		if s != first {
			return lieOf("of a batch %s is of write %v, and %s of %v", keys[0], first, keys[i], s)
		}
	}
	if values[0] == nil {
		if most-most%deleteBatch < least {
			return lieOf("%s is missing; acknowledged was batch %d, and %d had begun", keys[0], least, most)
		}
	} else if first.N < least || first.N > most {
		return lieOf("%s is of batch %d; acknowledged was %d, and %d had begun", keys[0], first.N, least, most)
	}
	return nil
}
