// Package leader is the part of a process that has the database open itself:
// alone, with both locks (Take), or as a member among others (Join). It groups
// the writes of its process and, while it leads, applies each guest's once. It
// knows no sockets: wire's hosts, and the process itself, use it as a
// store.Store.
package leader

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/lsm"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/vfs"
)

// Claim is the lock on a directory, held, with no database open yet.
type Claim struct {
	dir   string
	lock  *vfs.Lock // as C++ LevelDB locks
	flock *vfs.Lock // as goleveldb does
}

// Take locks dir, which must exist, in both of the ways in which LevelDBs
// lock. If somebody holds either, it is ErrLocked. A shared claim is for
// reading only and excludes no other.
func Take(dir string, shared bool) (_ *Claim, err error) {
	path := filepath.Join(dir, "LOCK")
	c := &Claim{dir: dir}
	if c.lock, err = vfs.TryLock(path, shared); err == nil {
		c.flock, err = vfs.TryFlock(path, shared)
	}
	if err == nil {
		return c, nil
	}
	if errors.Is(err, vfs.ErrHeld) {
		err = store.ErrLocked
	}
	return nil, errors.Join(err, c.Release())
}

// Release gives the directory up. Not to be called after Open.
func (c *Claim) Release() error {
	if c == nil {
		return nil
	}
	return errors.Join(c.flock.Release(), c.lock.Release())
}

// Leader is an open database. It implements store.Store.
type Leader struct {
	// Constant after Open or Join.
	dir      string
	lock     *Claim // nil: a member
	ctl      *coord.Control
	db       *lsm.DB
	readOnly bool

	queue queue

	// Guarded by queue.turn.
	once  *once  // while it leads
	old   *once  // what a member knows of the leaders before it joined
	group []byte // reused memory

	closing sync.Once
	leftMu  sync.Mutex
	left    []store.ClientID // clients to be forgotten

	leaving atomic.Bool               // see Leave
	ending  atomic.Bool               // Close has begun
	holder  atomic.Pointer[exclusive] // who has the turn since Begin
	held    atomic.Value              // a chan struct{}, closed while holds > 0
	holdMu  sync.Mutex
	holds   int                   // see hold
	record  atomic.Pointer[once]  // is once, for who has not the turn
	refusal atomic.Pointer[error] // why no more is written
	failed  chan struct{}         // closed when a failed write was the reason
}

var errPending = errors.New("pending")

func newLeader(dir string) *Leader {
	l := &Leader{dir: dir, failed: make(chan struct{})}
	l.queue.turn = make(chan struct{}, 1)
	l.queue.turn <- struct{}{}
	l.held.Store(make(chan struct{}))
	return l
}

// Open opens the claimed database, to lead alone. It takes c over: a failure
// releases it.
func (c *Claim) Open(cfg lsm.Config) (l *Leader, err error) {
	l = newLeader(c.dir)
	l.lock, l.ctl, l.readOnly = c, coord.Private(), cfg.ReadOnly
	cfg.Dir, cfg.Control, cfg.Private, cfg.First = c.dir, l.ctl, true, true
	cfg.Recovered = func(last format.SeqNum, manifest format.FileNum) error {
		return coord.SettleCut(c.dir, func(cut format.SeqNum, ok bool) (err error) {
			if ok {
				last = min(last, cut)
			}
			l.once, err = openOnce(c.dir, last, manifest)
			l.record.Store(l.once)
			return err
		})
	}
	cfg.Rolling = l.rolling
	if l.db, err = lsm.Open(cfg); err != nil {
		return nil, errors.Join(err, c.Release())
	}
	if !cfg.ReadOnly {
		if err = l.db.Lead(); err != nil {
			return nil, errors.Join(err, l.db.Close(), l.db.Release(), c.Release())
		}
	}
	return l, nil
}

// rolling tells the record, if there is one, of the next manifest.
func (l *Leader) rolling(manifest format.FileNum) error {
	if o := l.record.Load(); o != nil {
		return o.follow(manifest)
	}
	return nil
}

// Close closes the database and gives up the lock. Calls under way end first
// or fail with ErrClosed. The right of Begin ends.
func (l *Leader) Close() (err error) {
	l.closing.Do(func() {
		l.ending.Store(true)
		if x := l.holder.Load(); x != nil {
			x.end() // it could be kept for ever
		}
		l.EndWaits()
		l.Resign()
		<-l.queue.turn // a group that is being applied ends
		closed := error(store.ErrClosed)
		l.refusal.Store(&closed)
		l.queue.turn <- struct{}{}
		err = errors.Join(l.db.Close(), l.ctl.Leave(l.db.Tidy), l.db.Release(), l.lock.Release())
	})
	return err
}

// EndWaits makes writes that wait for other processes, and those that would, fail
// with ErrClosed. It is for who is about to Close.
func (l *Leader) EndWaits() { l.ctl.EndWaits() }

// Failed is closed after a write that failed. What the log holds by then is not
// known, so that nothing may be written behind it: all further writes fail
// until the database has been closed and opened again.
func (l *Leader) Failed() <-chan struct{} { return l.failed }

// Get implements store.Store.
func (l *Leader) Get(key []byte, snap store.Snapshot) ([]byte, error) {
	v, err := l.db.Get(nil, key, snapshotOf(snap))
	if err != nil {
		return nil, err
	}
	return v, nil
}

// Has implements store.Store.
func (l *Leader) Has(key []byte, snap store.Snapshot) (bool, error) {
	return l.db.Has(key, snapshotOf(snap))
}

// Snapshot implements store.Store.
func (l *Leader) Snapshot() (store.Snapshot, error) {
	s, err := l.db.Snapshot()
	if err != nil {
		return nil, err // and no nil pointer in an interface
	}
	return s, nil
}

// Iterator implements store.Store.
func (l *Leader) Iterator(b store.Bounds, snap store.Snapshot) store.Iterator {
	return l.db.Iterator(b, snapshotOf(snap))
}

func snapshotOf(s store.Snapshot) *lsm.Snapshot {
	if s == nil {
		return nil
	}
	return s.(*lsm.Snapshot)
}

// CompactRange implements wire.Admin.
func (l *Leader) CompactRange(ctx context.Context, b store.Bounds) error {
	return l.db.CompactRange(ctx, b)
}

// ApproximateSize implements wire.Admin.
func (l *Leader) ApproximateSize(b store.Bounds) (int64, error) { return l.db.ApproximateSize(b) }

// Property implements wire.Admin.
func (l *Leader) Property(name string) (string, error) { return l.db.Property(name) }

// Levels returns the tree's levels.
func (l *Leader) Levels() ([]lsm.Level, error) { return l.db.Levels() }

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
		n, done, err := l.applied(c.Identity)
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
	it := l.db.Iterator(c.Bounds, nil)
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
	l.leftMu.Lock()
	if len(l.left) < maxClients { // it is forgotten after a time anyway
		l.left = append(l.left, client)
	}
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
		if l.once != nil {
			l.once.drop(client)
		}
	}
	l.left = l.left[:0]
}

// applied reports whether w was applied before, and what a Clear deleted then.
// Only who has the turn may call it.
func (l *Leader) applied(w store.Identity) (count int64, ok bool, err error) {
	switch {
	case failpoint.Breaks(failpoint.RetryTwice):
	case l.once != nil:
		return l.once.applied(w)
	case l.old != nil:
		return l.old.applied(w)
	}
	return 0, false, nil
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
		return nil, nil, waited(ctx)
	}
	x := &exclusive{Leader: l}
	for err = l.refused(); err == nil; {
		x.turn, err = l.db.LockAlone(ctx)
		if !errors.Is(err, lsm.ErrInterrupted) {
			break
		}
		l.queue.turn <- struct{}{} // to whoever has interrupted
		<-l.queue.turn
		err = l.refused()
	}
	if err != nil {
		l.queue.turn <- struct{}{}
		return nil, nil, err
	}
	l.hold(true) // before anybody can end x
	l.holder.Store(x)
	if l.ending.Load() { // Close may have looked before
		x.end()
		return nil, nil, store.ErrClosed
	}
	return x, x.end, nil
}

// Held implements wire.Admin.
func (l *Leader) Held() <-chan struct{} { return l.held.Load().(chan struct{}) }

// hold notes that writes have to wait for somebody for an uncertain time: who
// has begun to write alone here, or another process. Or that this is over.
func (l *Leader) hold(on bool) {
	l.holdMu.Lock()
	defer l.holdMu.Unlock()
	was := l.holds > 0
	if on {
		l.holds++
	} else {
		l.holds--
	}
	switch now := l.holds > 0; {
	case now && !was:
		close(l.held.Load().(chan struct{}))
	case was && !now:
		l.held.Store(make(chan struct{}))
	}
}

// exclusive is the Leader for who has the turn.
type exclusive struct {
	*Leader
	mu   sync.Mutex
	turn lsm.Turn
	over bool // the turn was given back
}

func (x *exclusive) Commit(ctx context.Context, writes []*store.Write) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		fail(writes, store.ErrClosed)
		return
	}
	group := []*commit{{writes: writes}}
	pos, sync, err := x.apply(ctx, group, x.turn.Write)
	for errors.Is(err, lsm.ErrInterrupted) {
		x.mu.Unlock() // for whoever has interrupted
		time.Sleep(time.Millisecond)
		x.mu.Lock()
		if x.over {
			fail(writes, store.ErrClosed)
			return
		}
		pos, sync, err = x.apply(ctx, group, x.turn.Write)
	}
	if sync {
		x.sync(pos, group)
	}
}

// end gives the turn back. It may be called more than once.
func (x *exclusive) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.over {
		x.over = true
		x.holder.Store(nil)
		x.hold(false)
		x.turn.Unlock()
		x.queue.turn <- struct{}{}
	}
}

func (x *exclusive) Clear(ctx context.Context, c store.Clear) (int64, bool, error) {
	return 0, false, fmt.Errorf("clear within an exclusive write: %w", store.ErrInvalid)
}
