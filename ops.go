package party

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/leader"
	"github.com/levelparty/party/internal/lsm"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/wire"
)

// Every operation has two ways: straight to the database while this handle
// leads, and else as a call to the leader, whoever that is by then. A leader
// that is closed while an operation is under way answers ErrClosed, and the
// operation takes the other way.

// Get returns the value of key. A missing key is ErrNotFound. The slice belongs
// to the caller.
func (db *DB) Get(ctx context.Context, key []byte) ([]byte, error) {
	if l := db.local.Load(); l != nil && ctx.Err() == nil {
		if v, err := l.Get(key, nil); err == nil || !errors.Is(err, store.ErrClosed) {
			return v, opError("get", err)
		}
	}
	r, err := db.call(ctx, wire.Request{Op: wire.OpGet, Key: key})
	return r.Value, opError("get", err)
}

// Append appends the value of key to dst and returns the longer slice, as append
// does. A missing key is ErrNotFound, and dst is returned as it was. It allocates
// only if dst has too little room.
func (db *DB) Append(ctx context.Context, dst, key []byte) ([]byte, error) {
	if l := db.local.Load(); l != nil && ctx.Err() == nil {
		if v, err := l.Append(dst, key, nil); err == nil || !errors.Is(err, store.ErrClosed) {
			return v, opError("get", err)
		}
	}
	r, err := db.call(ctx, wire.Request{Op: wire.OpGet, Key: key})
	return append(dst, r.Value...), opError("get", err)
}

// Has reports whether key exists.
func (db *DB) Has(ctx context.Context, key []byte) (bool, error) {
	if l := db.local.Load(); l != nil && ctx.Err() == nil {
		if ok, err := l.Has(key, nil); err == nil || !errors.Is(err, store.ErrClosed) {
			return ok, opError("has", err)
		}
	}
	r, err := db.call(ctx, wire.Request{Op: wire.OpHas, Key: key})
	return r.More, opError("has", err)
}

// GetMany returns the values of keys, in their order, from one state of the
// database. The value of a missing key is nil; that of an empty one is not.
func (db *DB) GetMany(ctx context.Context, keys [][]byte) ([][]byte, error) {
	if l := db.local.Load(); l != nil && ctx.Err() == nil {
		if v, err := getMany(l, keys); err == nil || !errors.Is(err, store.ErrClosed) {
			return v, opError("get many", err)
		}
	}
	r, err := db.call(ctx, wire.Request{Op: wire.OpGetMany, Keys: keys})
	if err == nil && len(r.Values) != len(keys) {
		err = fmt.Errorf("%d values for %d keys: %w", len(r.Values), len(keys), ErrCorrupted)
	}
	return r.Values, opError("get many", err)
}

func getMany(l *leader.Leader, keys [][]byte) ([][]byte, error) {
	snap, err := l.Snapshot()
	if err != nil {
		return nil, err
	}
	defer snap.Release()
	return getManyAt(l, snap, keys)
}

func getManyAt(l *leader.Leader, snap store.Snapshot, keys [][]byte) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, key := range keys {
		v, err := l.Get(key, snap)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		values[i] = v
	}
	return values, nil
}

// Put sets the value of key. At most one WriteOptions is used.
func (db *DB) Put(ctx context.Context, key, value []byte, o ...WriteOptions) error {
	r := wire.Request{Op: wire.OpPut, Key: notNil(key), Value: notNil(value)}
	return opError("put", db.write(ctx, &r, 1, o))
}

// Delete removes key. A missing key is no error.
func (db *DB) Delete(ctx context.Context, key []byte, o ...WriteOptions) error {
	r := wire.Request{Op: wire.OpDelete, Key: notNil(key)}
	return opError("delete", db.write(ctx, &r, 1, o))
}

// Write applies b: all of it or, if it fails, nothing.
func (db *DB) Write(ctx context.Context, b *Batch, o ...WriteOptions) error {
	if b.n == 0 {
		return nil
	}
	r := wire.Request{Op: wire.OpBatch, Records: b.records}
	return opError("write", db.write(ctx, &r, b.n, o))
}

// write applies a put, a delete or a batch of count records.
func (db *DB) write(ctx context.Context, r *wire.Request, count int, o []WriteOptions) error {
	if err := db.writable(r); err != nil {
		return err
	}
	r.Sync = len(o) > 0 && o[0].Sync
	if l := db.local.Load(); l != nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		w := store.Write{Records: r.Records, Count: count, Sync: r.Sync}
		switch r.Op {
		case wire.OpPut:
			w.Records = format.AppendPut(make([]byte, 0, len(r.Key)+len(r.Value)+16), r.Key, r.Value)
		case wire.OpDelete:
			w.Records = format.AppendDelete(nil, r.Key)
		}
		if l.Commit(ctx, []*store.Write{&w}); !errors.Is(w.Err, store.ErrClosed) {
			return w.Err
		}
	}
	_, err := db.call(ctx, *r)
	return err
}

// writable refuses what this handle may not write.
func (db *DB) writable(r *wire.Request) error {
	if db.o.ReadOnly {
		return ErrReadOnly
	}
	// Also where no socket is in the way: another process has to be able to read
	// what this one wrote.
	if n := len(r.Key) + len(r.Value) + len(r.Records); n > db.o.MaxMessage-messageOverhead {
		return fmt.Errorf("%d bytes, limit %d: %w", n, db.o.MaxMessage-messageOverhead, ErrTooLarge)
	}
	return nil
}

// messageOverhead is what a message takes beside its keys and values, at most.
const messageOverhead = 256

// Clear deletes the keys that o selects. It is not atomic: it deletes some
// thousand keys at a time, and what others put meanwhile may be deleted or not.
func (db *DB) Clear(ctx context.Context, o ClearOptions) error {
	return opError("clear", db.clear(ctx, o))
}

func (db *DB) clear(ctx context.Context, o ClearOptions) error {
	if db.o.ReadOnly {
		return ErrReadOnly
	}
	r := wire.Request{Op: wire.OpClear, Bounds: o.bounds(), Reverse: o.Reverse, Limit: -1, Sync: o.Sync}
	if o.Limit > 0 {
		r.Limit = int64(o.Limit)
	}
	for {
		var resp wire.Response
		err := error(store.ErrClosed)
		if l := db.local.Load(); l != nil && ctx.Err() == nil {
			resp.Count, resp.More, err = l.Clear(ctx, store.Clear{Bounds: r.Bounds, Reverse: r.Reverse, Limit: r.Limit, Sync: r.Sync})
		}
		if errors.Is(err, store.ErrClosed) {
			resp, err = db.call(ctx, r)
		}
		if err != nil || !resp.More {
			return err
		}
		if r.Limit >= 0 {
			if r.Limit -= resp.Count; r.Limit <= 0 {
				return nil
			}
		}
	}
}

func (r Range) bounds() store.Bounds { return store.Range(r.GT, r.GTE, r.LT, r.LTE) }

// CompactRange writes the tables of r anew, without what has been deleted or
// overwritten. The zero Range is the whole database.
func (db *DB) CompactRange(ctx context.Context, r Range) error {
	_, err := db.call(ctx, wire.Request{Op: wire.OpCompact, Bounds: r.bounds()})
	return opError("compact", err)
}

// ApproximateSize returns how many bytes the tables of r take, roughly. What
// was written lately is in no table yet.
func (db *DB) ApproximateSize(ctx context.Context, r Range) (int64, error) {
	if l := db.local.Load(); l != nil && ctx.Err() == nil {
		if n, err := l.ApproximateSize(r.bounds()); err == nil || !errors.Is(err, store.ErrClosed) {
			return n, opError("size", err)
		}
	}
	resp, err := db.call(ctx, wire.Request{Op: wire.OpSize, Bounds: r.bounds()})
	return resp.Count, opError("size", err)
}

// Property returns a property of the database, as text. PropertyNames lists
// those there are; another name is ErrNotFound.
func (db *DB) Property(ctx context.Context, name string) (string, error) {
	resp, err := db.call(ctx, wire.Request{Op: wire.OpProperty, Name: name})
	return string(resp.Value), opError("property", err)
}

// PropertyNames returns the names that Property knows. N stands for a level's
// number.
func PropertyNames() []string { return slices.Clone(lsm.PropertyNames) }

// call sends a request to the leader and waits for its answer, over as many
// leaders as it takes. If this handle leads, it carries the request out.
func (db *DB) call(ctx context.Context, r wire.Request) (wire.Response, error) {
	start := time.Now()
	cost := min(callCost+int64(r.Cost()), maxWaiting)
	if err := db.room.Acquire(ctx, cost); err != nil {
		return wire.Response{}, db.waited(ctx, start)
	}
	defer db.room.Release(cost)
	for {
		c := wire.NewCall(r)
		db.mu.Lock()
		if db.role == Closed {
			db.mu.Unlock()
			return wire.Response{}, ErrClosed
		}
		if err := db.blocked; err != nil {
			db.mu.Unlock()
			return wire.Response{}, err
		}
		if h := db.hosting; h != nil {
			db.mu.Unlock()
			resp, err := db.execute(ctx, h.Leader, 0, &r)
			if errors.Is(err, store.ErrClosed) {
				// It was given up; the next change of role follows.
				if db.leaves(ctx, h.Leader) != nil {
					return resp, db.waited(ctx, start)
				}
				continue
			}
			return resp, err
		}
		link := db.link
		db.calls.Add(c)
		if link != nil {
			if err := link.Send(c); err != nil {
				db.calls.Take(c.ID)
				db.mu.Unlock()
				return wire.Response{}, err
			}
		}
		db.mu.Unlock()
		if link != nil {
			link.Flush()
			if link.Attend(ctx, c) {
				return c.Response, c.Err
			}
		}
		select {
		case <-c.Done():
			return c.Response, c.Err
		case <-ctx.Done():
			if db.calls.Take(c.ID) != nil {
				return wire.Response{}, db.waited(ctx, start)
			}
			<-c.Done()
			return c.Response, c.Err
		}
	}
}

// leaves waits until l is no longer the handle's own way to the database.
func (db *DB) leaves(ctx context.Context, l *leader.Leader) error {
	for {
		db.mu.Lock()
		now, changed := db.local.Load(), db.changed
		db.mu.Unlock()
		if now != l {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// waited returns the error of a call whose context ended: what it waited for.
func (db *DB) waited(ctx context.Context, start time.Time) error {
	db.mu.Lock()
	role, link, peer := db.role, db.link, db.peer
	db.mu.Unlock()
	what := "a leader"
	switch {
	case role == Guest && link != nil:
		what = fmt.Sprintf("the answer of the %s leader", link.Proto())
		if peer.PID != 0 {
			what += fmt.Sprintf(" (pid %d)", peer.PID)
		}
	case role == Leader:
		what = "its turn"
	}
	return fmt.Errorf("waited %v for %s of %s: %w", time.Since(start).Round(time.Millisecond), what, db.dir, ctx.Err())
}

// way returns how the database is reached now: exactly one of the results is
// not nil. It waits while there is no way.
func (db *DB) way(ctx context.Context) (*leader.Leader, *wire.Link, error) {
	start := time.Now()
	for {
		db.mu.Lock()
		role, local, link, blocked, changed := db.role, db.local.Load(), db.link, db.blocked, db.changed
		db.mu.Unlock()
		switch {
		case role == Closed:
			return nil, nil, ErrClosed
		case blocked != nil:
			return nil, nil, blocked
		case local != nil:
			return local, nil, nil
		case link != nil:
			return nil, link, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil, db.waited(ctx, start)
		}
	}
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// opError says which operation failed.
func opError(op string, err error) error {
	if err == nil {
		return nil
	}
	if err == store.ErrNotFound {
		return err // the ordinary outcome of a Get: no text, no memory
	}
	return fmt.Errorf("party: %s: %w", op, err)
}
