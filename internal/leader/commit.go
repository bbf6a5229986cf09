package leader

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/lsm"
	"github.com/levelparty/party/internal/store"
)

// Commits are grouped: whoever finds the queue without a head becomes its
// head, takes what is queued, applies it as one write of the engine, wakes the
// others and makes the next waiter the head. One log record, and for synced
// writes one sync, then serve all that came together.

// maxGroup bounds the bytes of a group, so that small writes do not wait for
// many large ones.
const maxGroup = 1 << 20

type queue struct {
	mu      sync.Mutex
	waiting []*commit
	head    bool // somebody is at work, and will see to waiting

	// turn holds a token while nobody writes. The head takes it for a group,
	// and Begin keeps it.
	turn chan struct{}
}

type commit struct {
	writes []*store.Write
	wake   chan bool // true: become the head; false: decided
}

// Commit implements store.Store.
func (l *Leader) Commit(ctx context.Context, writes []*store.Write) {
	if len(writes) == 0 {
		return
	}
	if err := l.writable(); err != nil {
		fail(writes, err)
		return
	}
	c := &commit{writes: writes}
	q := &l.queue
	q.mu.Lock()
	if q.head {
		c.wake = make(chan bool, 1)
		q.waiting = append(q.waiting, c)
		q.mu.Unlock()
		select {
		case head := <-c.wake:
			if !head {
				return
			}
		case <-ctx.Done():
			if q.remove(c) {
				fail(writes, waited(ctx))
				return
			}
			if head := <-c.wake; !head { // it was being decided
				return
			}
		}
		q.mu.Lock()
	} else {
		q.head = true
	}
	q.mu.Unlock()

	// The head is first in the group, if it is not decided that way.
	var group []*commit
	var pos lsm.Position
	sync := false
	select {
	case <-q.turn:
		q.mu.Lock()
		group = q.takeLocked(c)
		q.mu.Unlock()
		var err error
		for {
			pos, sync, err = l.apply(ctx, group, l.db.Write)
			if !errors.Is(err, lsm.ErrInterrupted) {
				break
			}
			q.turn <- struct{}{} // to whoever has interrupted
			<-q.turn
		}
		if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			// The head gave up waiting. That is no reason for the others to.
			q.mu.Lock()
			q.waiting = append(group[1:len(group):len(group)], q.waiting...)
			q.mu.Unlock()
			group = group[:1]
		}
		q.turn <- struct{}{}
	case <-ctx.Done():
		fail(writes, waited(ctx))
	}
	q.mu.Lock()
	if len(q.waiting) > 0 {
		next := q.waiting[0]
		q.waiting = q.waiting[1:]
		next.wake <- true
	} else {
		q.waiting = nil
		q.head = false
	}
	q.mu.Unlock()
	if sync {
		// Others write meanwhile, and wait for a later sync together.
		l.sync(pos, group)
	}
	for _, d := range group[min(1, len(group)):] {
		d.wake <- false
	}
}

// sync makes the group's writes durable, and fails those that asked for it if
// it cannot. It is not given up: what was applied cannot be taken back.
func (l *Leader) sync(pos lsm.Position, group []*commit) {
	err := l.db.Sync(context.Background(), pos)
	if err == nil {
		return
	}
	for _, c := range group {
		for _, w := range c.writes {
			if w.Sync && w.Err == nil {
				w.Err = err
			}
		}
	}
	l.noteFailure(err)
}

// takeLocked returns a group that begins with head: a synced write does not
// join an unsynced head, which would have to wait for the disk.
func (q *queue) takeLocked(head *commit) []*commit {
	group := []*commit{head}
	size, sync := head.size()
	for len(q.waiting) > 0 {
		n, s := q.waiting[0].size()
		if size+n > maxGroup || s && !sync {
			break
		}
		size += n
		group = append(group, q.waiting[0])
		q.waiting = q.waiting[1:]
	}
	return group
}

func (q *queue) remove(c *commit) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, w := range q.waiting {
		if w == c {
			q.waiting = append(q.waiting[:i:i], q.waiting[i+1:]...)
			return true
		}
	}
	return false
}

func (c *commit) size() (n int, sync bool) {
	for _, w := range c.writes {
		n += len(w.Records)
		sync = sync || w.Sync
	}
	return n, sync
}

// waited is the error of a write whose turn did not come.
func waited(ctx context.Context) error {
	return fmt.Errorf("wait for the writes before it: %w", ctx.Err())
}

func fail(writes []*store.Write, err error) {
	for _, w := range writes {
		w.Err = err
	}
}

// write is the Write of an lsm.DB, or of a Turn.
type write = func(context.Context, []byte, int, func(format.SeqNum) error) (lsm.Position, error)

// apply decides every write of the group but for its being durable, which sync
// asks for. An error is also that of every write that was not decided before.
// Only who has the turn may call it.
func (l *Leader) apply(ctx context.Context, group []*commit, write write) (pos lsm.Position, sync bool, err error) {
	l.forgetLeft()
	records := l.group[:0]
	var single []byte
	n, count, named := 0, 0, false
	for _, c := range group {
		for _, w := range c.writes {
			if err := l.refused(); err != nil {
				w.Err = err
				continue
			}
			if w.ID != 0 {
				_, done, err := l.applied(w.Identity)
				if done || err != nil {
					w.Err, w.Count = err, 0
					continue
				}
				named = l.once != nil
			}
			count += w.Count
			if n++; n == 1 {
				single = w.Records
			} else {
				if n == 2 {
					records = append(records, single...)
				}
				records = append(records, w.Records...)
			}
			sync = sync || w.Sync
			w.Err = errPending
		}
	}
	if n == 0 {
		return pos, false, nil
	}
	if n == 1 {
		records = single
	} else {
		l.group = records
	}
	var before func(format.SeqNum) error
	if named {
		before = func(first format.SeqNum) error { return l.intend(group, first) }
	}
	pos, err = write(ctx, records, count, before)
	failpoint.Hit("leader.write.done")
	if named {
		failpoint.Dawdle(failpoint.RetryTwice)
	}
	for _, c := range group {
		for _, w := range c.writes {
			if w.Err != errPending {
				continue
			}
			if w.Err = err; err == nil && w.ID != 0 && l.once != nil {
				l.once.note(w.Client, w.ID, int64(w.Count))
			}
		}
	}
	if named && (err != nil || l.once.full()) {
		// All intents are decided by now, and those of a write that failed have to
		// go: others will be given their sequence numbers.
		if e := l.once.rewrite(); e != nil {
			l.refuse(fmt.Errorf("record of applied writes: %w", e))
		}
	}
	l.noteFailure(err)
	if cap(l.group) > 4*maxGroup {
		l.group = nil
	}
	return pos, sync && err == nil, err
}

// intend records which sequence numbers the named writes of the group get, if
// the first of all gets first.
func (l *Leader) intend(group []*commit, first format.SeqNum) error {
	l.once.buf = l.once.buf[:0]
	last := uint64(first) - 1
	for _, c := range group {
		for _, w := range c.writes {
			if w.Err != errPending {
				continue
			}
			last += uint64(w.Count)
			if w.ID != 0 {
				l.once.buf = appendIntent(l.once.buf, w.Identity, last, uint64(w.Count))
			}
		}
	}
	return l.once.append()
}

// noteFailure looks whether a write has failed so that nothing more may be
// written.
func (l *Leader) noteFailure(err error) {
	if errors.Is(err, coord.ErrFailed) {
		l.refuse(fmt.Errorf("after a failed write: %w", err))
	}
}

// refuse refuses all further writes.
func (l *Leader) refuse(err error) {
	if l.refusal.CompareAndSwap(nil, &err) {
		close(l.failed)
	}
}

// refused returns why nothing may be written any more.
func (l *Leader) refused() error {
	if err := l.refusal.Load(); err != nil {
		return *err
	}
	return nil
}

// CommitIf applies w if check, called while nobody else can write, in any
// process, returns nil. Else it returns what check does.
func (l *Leader) CommitIf(ctx context.Context, w *store.Write, check func() error) error {
	if err := l.writable(); err != nil {
		return err
	}
	select {
	case <-l.queue.turn:
	case <-ctx.Done():
		return waited(ctx)
	}
	group := []*commit{{writes: []*store.Write{w}}}
	pos, sync, err := l.applyIf(ctx, group, check)
	for errors.Is(err, lsm.ErrInterrupted) {
		l.queue.turn <- struct{}{} // to whoever has interrupted
		<-l.queue.turn
		pos, sync, err = l.applyIf(ctx, group, check)
	}
	l.queue.turn <- struct{}{}
	if sync {
		l.sync(pos, group)
	}
	if err == nil {
		err = w.Err
	}
	return err
}

func (l *Leader) applyIf(ctx context.Context, group []*commit, check func() error) (pos lsm.Position, sync bool, err error) {
	if err := l.refused(); err != nil {
		return pos, false, err
	}
	turn, err := l.db.Lock(ctx)
	if err != nil {
		return pos, false, err
	}
	defer turn.Unlock()
	// Room is made before the check: who waits for it lends the lock out.
	if err := turn.MakeRoom(ctx, group[0].writes[0].Records, group[0].writes[0].Count); err != nil {
		return pos, false, err
	}
	if err := check(); err != nil {
		return pos, false, err
	}
	return l.apply(ctx, group, turn.Write)
}
