//go:build linux

package soak

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"math/rand/v2"
	"time"

	"github.com/levelparty/party"
)

// Property 7: a snapshot stays as it is, and so does an iterator of it that goes
// on in between, however long, whoever leads or dies meanwhile. Only that of a
// guest, which its leader holds, may end: with ErrSnapshotLost.

// hold takes snapshots and reads them again and again.
func (w *worker) hold(rnd *rand.Rand) {
	for w.goesOn(rnd, 200*time.Millisecond) {
		var snap *party.Snapshot
		if w.do("snapshot", func(ctx context.Context) (err error) {
			snap, err = w.db.Snapshot(ctx)
			return err
		}) != nil {
			continue
		}
		err := w.holdOne(rnd, snap)
		snap.Close()
		switch {
		case err == nil:
			w.held.Add(1)
		case errors.Is(err, party.ErrSnapshotLost):
			w.lost.Add(1)
		}
	}
}

// holdOne holds a snapshot for a random time.
func (w *worker) holdOne(rnd *rand.Rand, snap *party.Snapshot) error {
	// A member is told the sequence number, a guest is not. A handle that leads
	// alone may have to hand over to another.
	own := snap.Seq() != 0 && !w.way.options.Sockets
	judge := func(err error) error {
		if !own {
			err = w.ended(err)
		}
		return err
	}
	it := snap.Iterator(context.Background(), party.IteratorOptions{})
	defer it.Close()
	want, n := "", 0
	digest := func() (string, error) {
		sum, entries := sha256.New(), 0
		err := w.do("read what is held", func(ctx context.Context) error {
			sum.Reset()
			entries = 0
			for e, err := range party.All(ctx, snap, party.IteratorOptions{}) {
				if err != nil {
					return judge(err)
				}
				digestEntry(sum, e.Key, e.Value)
				entries++
			}
			return nil
		})
		n = entries
		return fmt.Sprintf("%d entries, %x", entries, sum.Sum(nil)), err
	}
	want, err := digest()
	if err != nil {
		return err
	}
	slow, left := sha256.New(), n
	steps := 3 + rnd.IntN(3)
	pause := time.Duration(rnd.Int64N(int64(w.Hold))) / time.Duration(steps)
	for range steps {
		if !w.goesOn(rnd, pause) {
			return context.Canceled
		}
		if err := w.do("move on", func(context.Context) error {
			for range n/steps + 1 {
				if !it.Next() {
					return judge(it.Err())
				}
				digestEntry(slow, it.Key(), it.Value())
				left--
			}
			return nil
		}); err != nil {
			return err
		}
		got, err := digest()
		if err != nil {
			return err
		}
		if got != want {
			w.lie("a snapshot at %d (%v) was %s and is %s", snap.Seq(), w.db.Role(), want, got)
			return errLie
		}
	}
	if got := fmt.Sprintf("%d entries, %x", n-left, slow.Sum(nil)); got != want {
		w.lie("an iterator of a snapshot at %d (%v) saw %s of %s", snap.Seq(), w.db.Role(), got, want)
		return errLie
	}
	return nil
}

func digestEntry(h hash.Hash, key, value []byte) {
	fmt.Fprintf(h, "%d %d ", len(key), len(value))
	h.Write(key)
	h.Write(value)
}
