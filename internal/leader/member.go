package leader

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/lsm"
	"github.com/levelparty/party/internal/store"
)

// ErrNobody: nobody has the database open, and the caller did not want to be
// the first.
var ErrNobody = errors.New("party: nobody has the database open")

// Join makes the process a member. If nobody else is one, it recovers the
// database, unless others is set: then it is ErrNobody.
//
// Other errors: store.ErrLocked if somebody who does not share memory has the
// database open, an errors.ErrUnsupported where memory cannot be shared, and
// those of coord.Open.
func Join(ctx context.Context, dir, program string, others bool, cfg lsm.Config) (*Leader, error) {
	if others {
		if some, err := coord.Occupied(dir); err != nil || !some {
			return nil, errors.Join(ErrNobody, err)
		}
	}
	ctl, first, err := coord.Open(ctx, dir, coord.Config{Program: program, OptionsHash: optionsHash})
	if err != nil {
		return nil, err
	}
	if first && others {
		return nil, errors.Join(ErrNobody, ctl.Close())
	}
	l := newLeader(dir)
	l.ctl = ctl
	cfg.Dir, cfg.Control, cfg.Private, cfg.First = dir, ctl, false, first
	cfg.Recovered = func(last format.SeqNum, manifest format.FileNum) error {
		if cut, ok := ctl.LeaderCut(); ok {
			last = min(last, cut)
		}
		o, err := openOnce(dir, last, manifest)
		if err == nil {
			err = o.close()
		}
		return err
	}
	cfg.Rolling = l.rolling
	cfg.Blocked = l.hold
	if cfg.MustNotExist && !first {
		return nil, errors.Join(store.ErrExist, ctl.Close())
	}
	if l.db, err = lsm.Open(cfg); err != nil {
		return nil, errors.Join(err, ctl.Close())
	}
	failpoint.Hit("leader.join.opened")
	if first {
		ctl.Joined()
	}
	l.old, err = readOnce(dir)
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// optionsHash stands for what all members must agree on: the order of keys and
// the format of the files. There is one of each.
const optionsHash = 1

// Shared reports whether l is a member.
func (l *Leader) Shared() bool { return l.lock == nil }

// TryLead makes a member the leader, if there is none. It then writes tables,
// and may host guests. It waits for who writes alone, until ctx ends.
func (l *Leader) TryLead(ctx context.Context) (bool, error) {
	if ok, err := l.ctl.TryLead(); !ok {
		return false, err
	}
	err := l.beginLead(ctx)
	if err != nil {
		l.ctl.Resign()
		return false, fmt.Errorf("lead: %w", err)
	}
	return true, nil
}

func (l *Leader) beginLead(ctx context.Context) error {
	// Under the write lock what the last leader may have died in has been carried
	// through or cut, and is known.
	turn, err := l.db.Lock(ctx)
	if err != nil {
		return err
	}
	failpoint.Hit("leader.lead.locked")
	last := l.db.LastSequence()
	if cut, ok := l.ctl.LeaderCut(); ok {
		last = cut
	}
	manifest := l.db.Manifest()
	turn.Unlock()
	o, err := openOnce(l.dir, last, manifest)
	if err != nil {
		return err
	}
	l.record.Store(o)
	failpoint.Hit("leader.lead.once")
	l.ctl.Announce()
	failpoint.Hit("leader.lead.announced")
	if err := l.db.Lead(); err != nil {
		l.record.Store(nil)
		return errors.Join(err, o.end(false))
	}
	// Not before: a write of this process may be waiting for a leader.
	l.betweenWrites(func() { l.once = o })
	return nil
}

// Resign ends the lead of a member, which stays one.
func (l *Leader) Resign() {
	// First, while the lead goes on: a write of this process may be waiting for it.
	var o *once
	settled := false // nobody asks any more
	l.betweenWrites(func() {
		if o = l.once; o != nil && !l.readOnly {
			l.forgetLeft()
			settled = len(o.clients) == 0
			l.old = o
			l.once = nil
		}
	})
	l.db.Resign()
	failpoint.Hit("leader.resign.stopped")
	if o != nil && !l.readOnly {
		l.record.Store(nil)
		_ = o.end(settled) // it is as good as it was when it was written
	}
	failpoint.Hit("leader.resign.once")
	if l.Shared() {
		l.ctl.Resign()
	}
	failpoint.Hit("leader.resign.done")
}

// betweenWrites runs f while no write of this process is being applied. Who has
// the turn since Begin keeps it. A write that waits for the leader is
// interrupted, since what it waits for may wait for f; it then goes on.
func (l *Leader) betweenWrites(f func()) {
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		l.db.Interrupt()
		select {
		case <-l.queue.turn:
			f()
			l.queue.turn <- struct{}{}
			return
		case <-again.C:
		}
		if x := l.holder.Load(); x != nil && x.between(f) {
			return
		}
	}
}

// between runs f between two commits of x, if x still has the turn.
func (x *exclusive) between(f func()) bool {
	if !x.mu.TryLock() {
		return false // it is committing
	}
	defer x.mu.Unlock()
	if !x.over {
		f()
	}
	return !x.over
}

// Members returns who has the database open.
func (l *Leader) Members() []lsm.Member { return l.db.Members() }

// LeadSince returns since when the members have had their leader.
func (l *Leader) LeadSince() time.Time { return l.ctl.LeaderSince() }

// readOnce reads what leaders before have recorded, without settling anything.
func readOnce(dir string) (*once, error) {
	if _, err := os.Stat(filepath.Join(dir, onceName)); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	o := &once{dir: dir, clients: make(map[store.ClientID]*onceClient)}
	_, err := o.load(0)
	return o, err
}

// LastSequence returns the sequence number of the last write.
func (l *Leader) LastSequence() format.SeqNum { return l.db.LastSequence() }

// Changes reads the writes of all members.
func (l *Leader) Changes(from format.SeqNum) (*lsm.Changes, error) { return l.db.Changes(from) }

// Newest returns the sequence number of key's value, 0 if there is none.
func (l *Leader) Newest(key []byte, snap store.Snapshot) (format.SeqNum, error) {
	return l.db.Newest(key, snapshotOf(snap))
}

// Append appends the value of key to dst.
func (l *Leader) Append(dst, key []byte, snap store.Snapshot) ([]byte, error) {
	return l.db.Get(dst, key, snapshotOf(snap))
}

// GetEntry is Get, and returns the sequence number of the value, 0 if there is
// none.
func (l *Leader) GetEntry(key []byte, snap store.Snapshot) (value []byte, seq format.SeqNum, err error) {
	value, seq, err = l.db.GetEntry(key, snapshotOf(snap))
	return value, seq, err
}
