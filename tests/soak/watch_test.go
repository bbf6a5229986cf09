//go:build linux

package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/levelparty/party"
)

// Property 8: Watch shows every change of every process once: the sequence
// numbers go up by one, also from a watcher that was killed to the one that takes
// its place; no write of an own key is left out or comes twice; the accounts' sum
// is right behind every write; and what was watched adds up to what is in a
// snapshot with that sequence number. ErrWatchGap comes only if more was written
// than is retained, or C++ LevelDB, which removes what is retained, may have had
// the directory.

// compareEvery is how many changes are watched between two comparisons.
const compareEvery = 4000

// inFlight bounds what has been counted as written, and is written later.
const inFlight = 2 << 20

// watch watches all changes, from where its predecessor ended.
func (w *worker) watch(rnd *rand.Rand) {
	path := filepath.Join(w.State, fmt.Sprintf("watch-%d", w.Slot))
	r, err := loadReplay(path)
	if err != nil {
		w.lie("%v", err) // of the test itself
		return
	}
	for w.goesOn(rnd, 50*time.Millisecond) {
		if r == nil {
			if r = w.beginReplay(); r == nil {
				continue
			}
		}
		from := r.Seq + 1
		err := w.follow(r, path)
		var gap *party.WatchGapError
		switch {
		case w.ctx.Err() != nil:
			if err := r.save(path); err != nil {
				w.lie("%v", err)
			}
			return
		case errors.Is(err, party.ErrNotSupported): // a guest's
		case errors.Is(err, party.ErrClosed) && (w.closing.Load() || w.way.options.Sockets): // it led alone, and does no more
		case errors.As(err, &gap):
			written := w.board.get(wordBytes) - r.Bytes + inFlight
			if w.board.get(wordNodeEra) < r.Era && written < retention/2 {
				w.lie("watch from %d, of era %d or later: %v, though %d bytes at most were written since; the last seen was %d, the last of all %d",
					from, r.Era, err, written, r.Seq, gap.Resync)
			}
			w.gaps.Add(1)
			r = nil
		default:
			w.lie("watch from %d: %v", from, err)
			return
		}
	}
}

// beginReplay begins with a snapshot. It returns nil if this handle cannot watch
// at present.
func (w *worker) beginReplay() (r *replay) {
	era, written := w.board.get(wordEra), w.board.get(wordBytes)
	_ = w.do("begin to watch", func(ctx context.Context) error {
		snap, err := w.db.Snapshot(ctx)
		if err != nil {
			return err
		}
		defer snap.Close()
		if snap.Seq() == 0 {
			return nil // of a guest
		}
		if r, err = replayOf(ctx, snap); err != nil {
			r = nil
			return w.ended(err)
		}
		r.Era, r.Bytes = era, written
		return nil
	})
	return r
}

// follow applies changes until there is an error.
func (w *worker) follow(r *replay, path string) error {
	still := time.AfterFunc(patience, func() {
		w.report(report{Kind: "hang", Text: fmt.Sprintf("%s in slot %d: nothing was watched for %v behind %d", w.Way, w.Slot, patience, r.Seq)})
	})
	defer still.Stop()
	var snap *party.Snapshot // to be compared with, when its number is reached
	var era, written uint64  // before it was taken
	defer func() {
		if snap != nil {
			snap.Close()
		}
	}()
	compared, saved := r.Seq, time.Now()
	for c, err := range w.db.Watch(w.ctx, party.Range{}, r.Seq+1) {
		if err != nil {
			return err
		}
		still.Reset(patience)
		if err := r.apply(c, w.board); err != nil {
			return err
		}
		w.watched.Add(1)
		if snap == nil && r.Seq >= compared+compareEvery {
			compared, era, written = r.Seq, w.board.get(wordEra), w.board.get(wordBytes)
			if err := w.do("snapshot to compare", func(ctx context.Context) (err error) {
				snap, err = w.db.Snapshot(ctx)
				return err
			}); err == nil && snap.Seq() == 0 {
				snap.Close()
				snap = nil
			}
		}
		if snap != nil && snap.Seq() <= r.Seq {
			if snap.Seq() < r.Seq {
				return lieOf("behind change %d there is a snapshot at %d", r.Seq, snap.Seq())
			}
			if err := w.do("compare", func(ctx context.Context) error { return w.ended(r.compare(ctx, snap)) }); err == nil {
				w.compared.Add(1)
			}
			snap.Close()
			snap, r.Era, r.Bytes = nil, era, written
		}
		if time.Since(saved) > time.Second {
			saved = time.Now()
			if err := r.save(path); err != nil {
				return err
			}
		}
	}
	return nil
}
