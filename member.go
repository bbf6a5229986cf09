package party

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/leader"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/wire"
)

// A member reads and writes the database itself, so that nothing its callers do
// depends on who leads. One of the members leads besides: it writes the tables
// and hosts guests. The kernel elects it, too: it is who holds the leader lock.
// The other members have a link to it, by which they notice that it is gone, and
// ask it for what only it can do.

// leaderPoll is how often a member looks for a leader that it has no link to.
const leaderPoll = 20 * time.Millisecond

// join tries to become a member. It returns nil, nil where that cannot be at
// present: db.apart says why. first allows to be the first.
func (db *DB) join(ctx context.Context, first, opening bool) (*seat, error) {
	if db.o.Sockets || db.o.only != nil {
		db.setApart(errSockets)
		return nil, nil
	}
	cfg := db.o.engine()
	cfg.ReadOnly = false // a member that only reads is one all the same
	cfg.MustNotExist = cfg.MustNotExist && opening
	others := !first || db.o.Lead == LeadNever || db.o.ReadOnly
	ctx, cancel := context.WithTimeout(ctx, defaultLockTimeout)
	defer cancel()
	l, err := leader.Join(ctx, db.dir, program(), others, cfg)
	db.setApart(err)
	if err == nil {
		return &seat{member: l}, nil
	}
	switch {
	case errors.Is(err, leader.ErrNobody), errors.Is(err, store.ErrLocked), errors.Is(err, errors.ErrUnsupported),
		errors.Is(err, coord.ErrLayout), errors.Is(err, coord.ErrOptions), errors.Is(err, coord.ErrFull),
		errors.Is(err, coord.ErrBlockLost), errors.Is(err, fs.ErrPermission),
		ctx.Err() != nil:
		return nil, nil
	}
	return nil, err
}

var errSockets = errors.New("asked to use sockets")

// setApart notes why the handle is no member; nil if it is.
func (db *DB) setApart(err error) {
	db.mu.Lock()
	db.apart = err
	db.mu.Unlock()
}

// belong is the life of a member. It returns when the handle is closed.
func (db *DB) belong(l *leader.Leader) (wait time.Duration) {
	// What waits since the handle was a guest comes first.
	var done []*wire.Call
	for {
		done = append(done, db.carryOut(l)...)
		db.mu.Lock()
		if db.role == Closed || !db.calls.Unbound() {
			break
		}
		db.mu.Unlock()
	}
	db.local.Store(l)
	db.blocked = nil
	db.changeLocked(Member)
	db.mu.Unlock()
	for _, c := range done {
		c.Finish(c.Err)
	}

	// The lead ends before the membership, and waits for the writes under way.
	defer context.AfterFunc(db.ctx, l.EndWaits)()
	if db.o.Lead == LeadLast {
		wait = headStart
	}
	for lost := time.Now(); db.ctx.Err() == nil; {
		if db.o.Lead != LeadNever && !db.o.ReadOnly && time.Since(lost) >= wait {
			leads, err := l.TryLead(db.ctx)
			if err != nil && db.ctx.Err() == nil {
				db.log.Error("lead", "path", db.dir, "reason", err)
			}
			if leads {
				wait, lost = db.leadMembers(l), time.Now()
				continue
			}
		}
		if s, err := db.connect(db.ctx); s != nil {
			wait = db.follow(s)
			if db.o.Lead == LeadLast {
				wait = max(wait, headStart)
			}
			lost = time.Now()
		} else {
			if err != nil {
				db.log.Debug("no link to the leader", "path", db.dir, "reason", err)
			}
			_ = sleep(db.ctx, min(leaderPoll, max(wait-time.Since(lost), firstPause)))
		}
	}

	db.mu.Lock()
	db.local.Store(nil)
	db.wakeLocked()
	db.mu.Unlock()
	if err := l.Close(); err != nil {
		db.log.Error("close", "path", db.dir, "reason", err)
		db.closed = err
	}
	return 0
}

// leadMembers hosts, as the leader of the members, until the handle is closed or
// hands over.
func (db *DB) leadMembers(l *leader.Leader) (wait time.Duration) {
	listeners, err := db.listen(wire.Protos[:])
	if err != nil {
		// Members need no socket.
		db.log.Warn("cannot host", "path", db.dir, "reason", err)
	}
	return db.lead(&seat{leader: l, listeners: listeners})
}
