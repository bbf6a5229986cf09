package leader

import (
	"context"
	"fmt"
	"sync"

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
				fail(writes, ctx.Err())
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
	select {
	case <-q.turn:
		q.mu.Lock()
		group = q.takeLocked(c)
		q.mu.Unlock()
		l.apply(group)
		q.turn <- struct{}{}
	case <-ctx.Done():
		fail(writes, ctx.Err())
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
	for _, d := range group[min(1, len(group)):] {
		d.wake <- false
	}
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

func fail(writes []*store.Write, err error) {
	for _, w := range writes {
		w.Err = err
	}
}

// apply decides every write of the group. Only who has the turn may call it.
func (l *Leader) apply(group []*commit) {
	l.forgetLeft()
	records, sync, seq := l.group[:0], false, l.sequence
	l.once.buf = l.once.buf[:0]
	var single []byte
	n := 0
	for _, c := range group {
		for _, w := range c.writes {
			if l.err != nil {
				w.Err = l.err
				continue
			}
			if w.ID != 0 {
				_, done, err := l.once.applied(w.Identity)
				if done || err != nil {
					w.Err, w.Count = err, 0
					continue
				}
				seq += uint64(w.Count)
				l.once.buf = appendIntent(l.once.buf, w.Identity, seq, uint64(w.Count))
			} else {
				seq += uint64(w.Count)
			}
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
		return
	}
	if n == 1 {
		records = single
	} else {
		l.group = records
	}
	var err error
	if len(l.once.buf) > 0 {
		if err = l.once.append(); err == nil && l.once.full() {
			defer func() {
				// All intents are decided by then.
				if err := l.once.rewrite(); err != nil {
					l.fail(err)
				}
			}()
		}
	}
	if err == nil {
		err = l.engine.Write(records, sync)
	}
	if err == nil {
		l.sequence = seq
	} else {
		l.fail(err)
	}
	for _, c := range group {
		for _, w := range c.writes {
			if w.Err != errPending {
				continue
			}
			if w.Err = err; err == nil && w.ID != 0 {
				l.once.note(w.Client, w.ID, int64(w.Count))
			}
		}
	}
	if cap(l.group) > 4*maxGroup {
		l.group = nil
	}
}

// fail refuses all further writes.
func (l *Leader) fail(err error) {
	if l.err == nil {
		l.err = fmt.Errorf("after a failed write: %w", err)
		close(l.failed)
	}
}
