package party

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/lsm"
	"github.com/levelparty/party/internal/store"
)

// Change is one put or delete that some process has made.
type Change struct {
	// Seq is its sequence number. Those of all changes of the database ascend,
	// from one process's to the other's, over restarts as well.
	Seq uint64
	Key []byte
	// Value is nil if the key was deleted, and else not.
	Value []byte
	// Last says that it is the last change of its write: the changes of one
	// write follow each other. A range that leaves changes out can leave this
	// one out.
	Last bool
}

// Deleted reports whether the key was deleted.
func (c Change) Deleted() bool { return c.Value == nil }

// ErrWatchGap: the changes that Watch was asked for are no longer kept. The
// error is a *WatchGapError.
var ErrWatchGap = errors.New("party: changes are no longer kept")

// WatchGapError says where to go on. Take a Snapshot, read what is needed from
// it, and watch from its Seq()+1 on.
type WatchGapError struct {
	From   uint64 // what was asked for
	Resync uint64 // the sequence number of the last change when the gap was found
}

func (e *WatchGapError) Error() string {
	return fmt.Sprintf("%v: from %d on; the last is %d", ErrWatchGap, e.From, e.Resync)
}

// Unwrap makes it an ErrWatchGap.
func (e *WatchGapError) Unwrap() error { return ErrWatchGap }

// Watch yields every change within r that any process commits, in the order of
// their sequence numbers, each once, and waits for further ones until ctx ends,
// whose error then comes last. It begins with the change numbered from; 0 is
// what is committed from now on. To go on after a restart, give the last Seq
// seen plus one.
//
// Changes are read from the logs, which are kept for that up to
// Options.Retention bytes beyond those that the database itself needs. If what
// is asked for is gone, or the reader is so slow that it goes, the error is
// ErrWatchGap. The slices of a Change are the caller's.
//
// Only processes that have the database open themselves can watch: a guest's is
// ErrNotSupported.
func (db *DB) Watch(ctx context.Context, r Range, from uint64) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		if err := db.watch(ctx, r.bounds(), from, yield); err != nil {
			yield(Change{}, opError("watch", err))
		}
	}
}

func (db *DB) watch(ctx context.Context, b store.Bounds, from uint64, yield func(Change, error) bool) error {
	local, link, err := db.way(ctx)
	if err != nil {
		return err
	}
	if local == nil {
		return fmt.Errorf("a guest of a %s leader cannot: %w", link.Proto(), ErrNotSupported)
	}
	gap := func(err error) error {
		if errors.Is(err, lsm.ErrGap) {
			return &WatchGapError{From: from, Resync: uint64(local.LastSequence())}
		}
		return err
	}
	changes, err := local.Changes(format.SeqNum(from))
	if err != nil {
		return gap(err)
	}
	defer changes.Close()
	for {
		c, err := changes.Next(ctx)
		if err != nil {
			return gap(err)
		}
		from = uint64(c.Seq) + 1
		if !b.Contains(c.Key) {
			continue
		}
		shown := Change{Seq: uint64(c.Seq), Key: bytes.Clone(c.Key), Last: c.Last}
		if !c.Delete {
			shown.Value = append([]byte{}, c.Value...)
		}
		if !yield(shown, nil) {
			return nil
		}
	}
}
