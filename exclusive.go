package party

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/wire"
)

// Exclusive is the right to write alone, from Begin to Commit or Discard: the
// writes of all other processes and goroutines wait. Reads do not. If the
// process dies the right is given back. Writing through the DB while holding
// it, in the same goroutine, waits for ever.
//
// Not safe for concurrent use.
type Exclusive struct {
	db   *DB
	once sync.Once
	end  func()

	// Either: the database itself.
	tx store.Store
	// Or: the leader's name for the right.
	link   *wire.Link
	handle uint64
}

// Begin waits until nobody writes and keeps it so. A Node leader's protocols
// cannot: ErrNotSupported.
func (db *DB) Begin(ctx context.Context) (*Exclusive, error) {
	x, err := db.beginExclusive(ctx)
	return x, opError("begin", err)
}

func (db *DB) beginExclusive(ctx context.Context) (*Exclusive, error) {
	if db.o.ReadOnly {
		return nil, ErrReadOnly
	}
	select {
	case db.begin <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for {
		x := &Exclusive{db: db}
		local, link, err := db.way(ctx)
		switch {
		case err != nil:
		case local != nil:
			x.tx, x.end, err = local.Begin(ctx)
			if errors.Is(err, store.ErrClosed) {
				if err = db.leaves(ctx, local); err == nil {
					continue
				}
			}
		case link.Proto() != wire.Party:
			err = fmt.Errorf("a %s process leads: %w", link.Proto(), ErrNotSupported)
		default:
			var r wire.Response
			r, err = link.Do(ctx, wire.Request{Op: wire.OpBegin})
			if errors.Is(err, ErrConnectionLost) && !db.o.NoRetry {
				<-link.Down()
				if err = db.unlinked(ctx, link); err == nil {
					continue
				}
			}
			if err != nil && ctx.Err() != nil {
				link.Tell(wire.Request{Op: wire.OpEnd}) // it may come yet
			}
			x.link, x.handle = link, r.Handle
			x.end = func() { link.Tell(wire.Request{Op: wire.OpEnd, Handle: r.Handle}) }
		}
		if err != nil {
			<-db.begin
			return nil, err
		}
		return x, nil
	}
}

// Commit applies b and gives the right back, also if it fails. If the leader
// was lost meanwhile it is ErrConnectionLost: b may have been applied or not.
func (x *Exclusive) Commit(ctx context.Context, b *Batch, o ...WriteOptions) error {
	err := error(ErrClosed)
	x.once.Do(func() {
		err = x.commit(ctx, b, len(o) > 0 && o[0].Sync)
		x.end()
		<-x.db.begin
	})
	return opError("commit", err)
}

func (x *Exclusive) commit(ctx context.Context, b *Batch, sync bool) error {
	r := wire.Request{Op: wire.OpBatch, Records: b.records, Sync: sync, Handle: x.handle}
	if err := x.db.writable(&r); err != nil || b.n == 0 {
		return err
	}
	if x.tx != nil {
		w := store.Write{Records: b.records, Count: b.n, Sync: sync}
		x.tx.Commit(ctx, []*store.Write{&w})
		if errors.Is(w.Err, store.ErrClosed) {
			return ErrConnectionLost
		}
		return w.Err
	}
	_, err := x.link.Do(ctx, r)
	return err
}

// Discard gives the right back, if Commit has not.
func (x *Exclusive) Discard() {
	x.once.Do(func() {
		x.end()
		<-x.db.begin
	})
}
