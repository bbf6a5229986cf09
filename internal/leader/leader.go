// Package leader is the one process's part that has the database open: it
// orders the writes of all, applies each guest's once, and answers what is
// asked about the database. It knows no sockets: wire's hosts, and the leading
// process itself, use it as a store.Store.
package leader

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/levelparty/party/internal/engine"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/vfs"
)

// Claim is the lock on a directory, held, with no database open yet.
type Claim struct {
	dir   string
	lock  *vfs.Lock
	files *engine.Files
}

// Take locks dir, which must exist, in both of the ways in which LevelDBs
// lock. If somebody holds either, it is ErrLocked. A shared claim is for
// reading only and excludes no other.
func Take(dir string, shared bool) (*Claim, error) {
	lock, err := vfs.TryLock(filepath.Join(dir, "LOCK"), shared)
	if errors.Is(err, vfs.ErrHeld) {
		return nil, store.ErrLocked
	}
	if err != nil {
		return nil, err
	}
	files, err := engine.Lock(dir, shared)
	if err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	return &Claim{dir, lock, files}, nil
}

// Release gives the directory up. Not to be called after Open.
func (c *Claim) Release() error {
	return errors.Join(c.files.Unlock(), c.lock.Release())
}

// Leader is an open database. It implements store.Store.
type Leader struct {
	// Constant after Open.
	dir      string
	lock     *vfs.Lock
	engine   engine.Engine
	readOnly bool

	queue queue

	// Guarded by queue.turn.
	once     *once
	sequence uint64 // of the last write
	group    []byte // reused memory
	err      error  // why no more is written

	closing sync.Once
	leftMu  sync.Mutex
	left    []store.ClientID // clients to be forgotten

	leaving atomic.Bool               // see Leave
	ending  atomic.Bool               // Close has begun
	holder  atomic.Pointer[exclusive] // who has the turn since Begin
	held    atomic.Value              // a chan struct{}, closed while somebody has it so
	failed  chan struct{}             // closed when err is set by a failed write
}

var errPending = errors.New("pending")

// Open opens the claimed database. It takes c over: a failure releases it.
func (c *Claim) Open(cfg engine.Config) (l *Leader, err error) {
	l = &Leader{dir: c.dir, lock: c.lock, readOnly: cfg.ReadOnly, failed: make(chan struct{})}
	l.queue.turn = make(chan struct{}, 1)
	l.held.Store(make(chan struct{}))
	if !cfg.ReadOnly {
		if l.once, err = openOnce(c.dir); err != nil {
			return nil, errors.Join(fmt.Errorf("record of applied writes: %w", err), c.Release())
		}
	}
	if l.engine, err = engine.Open(c.files, cfg); err != nil {
		return nil, errors.Join(err, c.lock.Release())
	}
	if !cfg.ReadOnly {
		if l.sequence, err = l.engine.LastSequence(); err == nil {
			err = l.once.begin()
		}
		if err != nil {
			return nil, errors.Join(err, l.engine.Close(), c.lock.Release())
		}
	}
	l.queue.turn <- struct{}{}
	return l, nil
}

// Close closes the database and gives up the lock. Calls under way end first
// or fail with ErrClosed. The right of Begin ends.
func (l *Leader) Close() (err error) {
	l.closing.Do(func() {
		l.ending.Store(true)
		if x := l.holder.Load(); x != nil {
			x.end() // it could be kept for ever
		}
		<-l.queue.turn // a group that is being applied ends
		l.err = store.ErrClosed
		if l.once != nil {
			l.forgetLeft()
			err = l.once.close()
		}
		l.queue.turn <- struct{}{}
		err = errors.Join(err, l.engine.Close(), l.lock.Release())
	})
	return err
}

// Failed is closed after a write that failed. What the log holds by then is not
// known, so that nothing may be written behind it: all further writes fail
// until the database has been closed and opened again.
func (l *Leader) Failed() <-chan struct{} { return l.failed }

// Get implements store.Store.
func (l *Leader) Get(key []byte, snap store.Snapshot) ([]byte, error) { return l.engine.Get(key, snap) }

// Has implements store.Store.
func (l *Leader) Has(key []byte, snap store.Snapshot) (bool, error) { return l.engine.Has(key, snap) }

// Snapshot implements store.Store.
func (l *Leader) Snapshot() (store.Snapshot, error) { return l.engine.Snapshot() }

// Iterator implements store.Store.
func (l *Leader) Iterator(b store.Bounds, snap store.Snapshot) store.Iterator {
	return l.engine.Iterator(b, snap)
}

// CompactRange implements wire.Admin.
func (l *Leader) CompactRange(b store.Bounds) error { return l.engine.CompactRange(b) }

// ApproximateSize implements wire.Admin.
func (l *Leader) ApproximateSize(b store.Bounds) (int64, error) { return l.engine.ApproximateSize(b) }

// Property implements wire.Admin.
func (l *Leader) Property(name string) (string, error) { return l.engine.Property(name) }

// Levels returns the tree's levels.
func (l *Leader) Levels() ([]engine.Level, error) { return l.engine.Levels() }

// clearChunk is how many keys one step of a Clear deletes.
const clearChunk = 4096

// Clear implements store.Store.
func (l *Leader) Clear(ctx context.Context, c store.Clear) (n int64, more bool, err error) {
	return l.clear(ctx, c, l.Commit)
}

func (l *Leader) clear(ctx context.Context, c store.Clear, commit func(context.Context, []*store.Write)) (n int64, more bool, err error) {
	if c.ID != 0 {
		// A step that was applied must not look for further keys.
		select {
		case <-l.queue.turn:
		case <-ctx.Done():
			return 0, false, ctx.Err()
		}
		n, done, err := l.once.applied(c.Identity)
		l.queue.turn <- struct{}{}
		if done || err != nil {
			return n, true, err
		}
	}
	limit := int64(clearChunk)
	if c.Limit >= 0 && c.Limit < limit {
		limit = c.Limit
	}
	w := &store.Write{Sync: c.Sync, Identity: c.Identity}
	it := l.engine.Iterator(c.Bounds, nil)
	move, ok := it.Next, false
	if ok = limit > 0; ok {
		if c.Reverse {
			move, ok = it.Prev, it.Last()
		} else {
			ok = it.First()
		}
	}
	for ; ok && int64(w.Count) < limit; ok = move() {
		w.Records = format.AppendDelete(w.Records, it.Key())
		w.Count++
	}
	err = it.Err()
	it.Close()
	if err != nil || w.Count == 0 {
		return 0, false, err
	}
	commit(ctx, []*store.Write{w})
	return int64(w.Count), ok && (c.Limit < 0 || int64(w.Count) < c.Limit), w.Err
}

// Forget drops what is remembered of a client that will not send anything
// again. It does not wait: where somebody writes, the next writer does it.
func (l *Leader) Forget(client store.ClientID) {
	if l.readOnly {
		return
	}
	l.leftMu.Lock()
	l.left = append(l.left, client)
	l.leftMu.Unlock()
	select {
	case <-l.queue.turn:
		l.forgetLeft()
		l.queue.turn <- struct{}{}
	default:
	}
}

// forgetLeft forgets who has left. Only who has the turn may call it.
func (l *Leader) forgetLeft() {
	l.leftMu.Lock()
	defer l.leftMu.Unlock()
	for _, client := range l.left {
		delete(l.once.clients, client)
	}
	l.left = l.left[:0]
}

// Leave tells a Leader that is open for reading only that it will be closed to
// make way for one that can write. Writes are then ErrClosed, so that they are
// sent to that one, and no longer ErrReadOnly.
func (l *Leader) Leave() { l.leaving.Store(true) }

func (l *Leader) writable() error {
	switch {
	case !l.readOnly:
		return nil
	case l.leaving.Load():
		return store.ErrClosed
	}
	return store.ErrReadOnly
}

// Begin waits for the turn to write and keeps it until end is called, or the
// Leader is closed. Commits through tx are applied meanwhile, all others wait.
func (l *Leader) Begin(ctx context.Context) (tx store.Store, end func(), err error) {
	if err := l.writable(); err != nil {
		return nil, nil, err
	}
	select {
	case <-l.queue.turn:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	if l.err != nil {
		l.queue.turn <- struct{}{}
		return nil, nil, l.err
	}
	x := &exclusive{Leader: l}
	close(l.held.Load().(chan struct{})) // before anybody can end x
	l.holder.Store(x)
	if l.ending.Load() { // Close may have looked before
		x.end()
		return nil, nil, store.ErrClosed
	}
	return x, x.end, nil
}

// Held implements wire.Admin.
func (l *Leader) Held() <-chan struct{} { return l.held.Load().(chan struct{}) }

// exclusive is the Leader for who has the turn.
type exclusive struct {
	*Leader
	mu   sync.Mutex
	over bool // the turn was given back
}

func (x *exclusive) Commit(ctx context.Context, writes []*store.Write) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		fail(writes, store.ErrClosed)
		return
	}
	x.apply([]*commit{{writes: writes}})
}

// end gives the turn back. It may be called more than once.
func (x *exclusive) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.over {
		x.over = true
		x.holder.Store(nil)
		x.held.Store(make(chan struct{}))
		x.queue.turn <- struct{}{}
	}
}

func (x *exclusive) Clear(ctx context.Context, c store.Clear) (int64, bool, error) {
	return 0, false, fmt.Errorf("clear within an exclusive write: %w", store.ErrInvalid)
}
