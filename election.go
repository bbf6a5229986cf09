package party

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/levelparty/party/internal/leader"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/vfs"
	"github.com/levelparty/party/internal/wire"
)

// The kernel elects the leader: it is who holds LevelDB's lock. A handle
// without a leader tries in turn to reach one through the sockets and to take
// the lock. A leader that dies loses its sockets and the lock in the same
// moment, so the others, whose connections end, find the lock free at once; who
// loses the race finds the winner's socket a moment later, because the winner
// binds it before it opens the database.

const (
	firstPause = 100 * time.Microsecond
	longPause  = 5 * time.Millisecond   // while somebody may be just starting
	idlePause  = 100 * time.Millisecond // when nothing has happened for long
	// dyingPause is longer than a system that does not tell who is dying takes to
	// close a killed process's sockets.
	dyingPause = 2 * time.Millisecond
	// headStart is what LeadLast leaves to the others when a leader is lost,
	// and what everybody leaves to whom a leader hands over.
	headStart = 100 * time.Millisecond
)

// seat is a place at the database: membership, a link to the leader, or the
// lock.
type seat struct {
	member *leader.Leader

	link  *wire.Link
	peer  vfs.Peer
	hello wire.Hello

	claim     *leader.Claim
	door      *vfs.Lock // of the one reader that hosts
	listeners []listener
	leader    *leader.Leader
}

// run keeps the handle seated until it is closed.
func (db *DB) run(s *seat) {
	defer close(db.ended)
	for {
		var wait time.Duration
		switch {
		case s.member != nil:
			wait = db.belong(s.member)
		case s.link != nil:
			wait = db.follow(s)
		default:
			wait = db.lead(s)
		}
		if db.ctx.Err() != nil {
			return
		}
		var err error
		if s, err = db.rejoin(wait); err != nil {
			return // closed
		}
	}
}

// rejoin finds the next seat, however long it takes. Meanwhile calls wait, but
// after an error they fail with it instead.
func (db *DB) rejoin(wait time.Duration) (*seat, error) {
	if db.o.Lead == LeadLast {
		wait = max(wait, headStart)
	}
	pause := longPause
	for {
		s, err := db.joinAfter(db.ctx, wait, false)
		if err == nil || db.ctx.Err() != nil {
			return s, err
		}
		db.log.Warn("no leader", "path", db.dir, "reason", err)
		err = fmt.Errorf("no leader of %s: %w", db.dir, err)
		db.mu.Lock()
		db.blocked = err
		db.wakeLocked()
		db.mu.Unlock()
		db.failWaiting(err)
		wait = 0
		if sleep(db.ctx, pause) != nil {
			return nil, db.ctx.Err()
		}
		pause = min(2*pause, time.Second)
	}
}

// joinAfter finds a seat. It does not try to lead before wait has passed. An
// error means that nobody can be reached and this handle cannot lead, or that
// a stranger held the lock for Options.LockTimeout.
func (db *DB) joinAfter(ctx context.Context, wait time.Duration, opening bool) (*seat, error) {
	start, pause := time.Now(), firstPause
	var denied, locked error
	for {
		s, err := db.join(ctx, time.Since(start) >= wait, opening)
		if s != nil || err != nil && ctx.Err() == nil {
			return s, err
		}
		s, err = db.connect(ctx)
		if s != nil {
			if opening && db.o.MustNotExist {
				s.link.Close()
				return nil, ErrExist
			}
			return s, nil
		}
		if err != nil && ctx.Err() == nil {
			if !errors.Is(err, fs.ErrPermission) {
				return nil, err
			}
			denied = err
		}
		if denied != nil && db.o.Lead == LeadNever {
			return nil, fmt.Errorf("cannot join the leader: %w", denied)
		}
		waited := time.Since(start)
		if errors.Is(db.apart, store.ErrLocked) {
			// Not to be claimed should it be free by now: the others could then be
			// no members.
			locked = store.ErrLocked
		} else if ctx.Err() == nil && db.o.Lead != LeadNever && waited >= wait && !db.joinsLater() {
			s, err := db.claim(waited)
			if s != nil {
				if err = db.openClaim(s, opening); err == nil {
					return s, nil
				}
				return nil, err
			}
			if !errors.Is(err, store.ErrLocked) {
				return nil, err
			}
			locked = err
		}
		if locked != nil && denied != nil {
			return nil, fmt.Errorf("cannot join the leader: %w", denied)
		}
		if ctx.Err() != nil || locked != nil && db.o.LockTimeout > 0 && waited > db.o.LockTimeout {
			err := db.nobody(locked, waited)
			if ctx.Err() != nil {
				err = fmt.Errorf("%w: %w", err, ctx.Err())
			}
			return nil, err
		}
		// A little at random, so that many do not try in step.
		if err := sleep(ctx, pause/2+rand.N(pause/2)); err == nil {
			limit := longPause
			if waited > time.Second {
				limit = idlePause
			}
			pause = min(2*pause, limit)
		}
	}
}

// joinsLater reports whether the handle would have been a member if it had been
// allowed to be the first.
func (db *DB) joinsLater() bool { return errors.Is(db.apart, leader.ErrNobody) && !db.o.ReadOnly }

// nobody describes what has been waited for in vain.
func (db *DB) nobody(locked error, waited time.Duration) error {
	if locked == nil {
		return fmt.Errorf("waited %v for a leader: %w", waited.Round(time.Millisecond), store.ErrNoLeader)
	}
	lock := filepath.Join(db.dir, "LOCK")
	holder := ""
	if pid := vfs.Holder(lock); pid != 0 {
		holder = fmt.Sprintf(" (held by pid %d", pid)
		if name := vfs.ProgramOf(pid); name != "" {
			holder += ", " + name
		}
		holder += ")"
	}
	why := ""
	if !vfs.SocketPathFits(db.dir, wire.Many.String()) {
		why = "; the path is too long for the sockets of Node processes"
	}
	return fmt.Errorf("%s%s, waited %v%s: %w", lock, holder, waited.Round(time.Millisecond), why, locked)
}

// connect tries to reach a leader. It returns nil, nil if there is none.
func (db *DB) connect(ctx context.Context) (*seat, error) {
	var denied error
	protos := wire.Protos[:]
	if db.o.only != nil {
		protos = db.o.only
	}
	for _, p := range protos {
		conn, peer, err := vfs.Dial(db.dir, p.String())
		if err != nil {
			if errors.Is(err, fs.ErrPermission) {
				denied = err
			}
			continue
		}
		if p != wire.Party && protos[0] == wire.Party {
			// A Go leader that has just begun binds its own socket first, but
			// maybe after this handle looked there. It is the better way.
			if c, q, err := vfs.Dial(db.dir, wire.Party.String()); err == nil {
				conn.Close()
				conn, peer, p = c, q, wire.Party
			} else if vfs.SocketNamed(db.dir, wire.Party.String()) {
				// Left by a Go leader, maybe one that is just being killed: the
				// system closes its sockets one after the other.
				exiting, known := vfs.Exiting(peer.PID)
				if exiting {
					conn.Close()
					return nil, nil
				}
				if !known {
					conn.Close()
					if sleep(ctx, dyingPause) != nil {
						return nil, nil
					}
					if conn, peer, err = vfs.Dial(db.dir, p.String()); err != nil {
						continue
					}
				}
			}
		}
		s := &seat{link: wire.NewLink(conn, p, db.calls, db.o.MaxMessage), peer: peer}
		if p == wire.Party {
			s.hello, err = s.link.Greet(ctx, db.hello())
			if err != nil {
				s.link.Close()
				if errors.Is(err, store.ErrConnectionLost) {
					return nil, nil // it has gone, or could not open the database
				}
				return nil, err
			}
		}
		return s, nil
	}
	return nil, denied
}

// claim tries to take the lock and to bind the sockets.
func (db *DB) claim(waited time.Duration) (*seat, error) {
	claim, err := leader.Take(db.dir, db.o.ReadOnly)
	if err != nil {
		return nil, err
	}
	s := &seat{claim: claim}
	protos := wire.Protos[:]
	if db.o.ReadOnly {
		protos = protos[:1] // a Node process could not be made to understand
		// Several readers may hold the lock, but one name leads to one of them.
		if s.door, err = vfs.TryLockDir(db.dir); err != nil {
			if waited < headStart {
				return nil, errors.Join(store.ErrLocked, claim.Release())
			}
			protos = nil // whoever it is cannot be reached
		}
	}
	if s.listeners, err = db.listen(protos); err != nil && !db.o.ReadOnly {
		return nil, errors.Join(err, claim.Release())
	}
	return s, nil
}

// listen binds the sockets of the protocols. It fails if it cannot bind the
// first.
func (db *DB) listen(protos []wire.Proto) (bound []listener, err error) {
	for i, p := range protos {
		l, err := vfs.Listen(db.dir, p.String())
		if err == nil {
			bound = append(bound, listener{l, p})
			continue
		}
		if i == 0 {
			return nil, fmt.Errorf("host: %w", err)
		}
		db.log.Warn("cannot host", "protocol", p.String(), "reason", err)
	}
	if !db.o.ReadOnly && !vfs.SocketPathFits(db.dir, wire.Many.String()) {
		db.log.Warn("path too long for Node processes to join", "path", db.dir)
	}
	return bound, nil
}

// openClaim opens the claimed database, or gives it up.
func (db *DB) openClaim(s *seat, opening bool) (err error) {
	cfg := db.o.engine()
	cfg.MustNotExist = cfg.MustNotExist && opening
	if s.leader, err = s.claim.Open(cfg); err == nil {
		return nil
	}
	for _, l := range s.listeners {
		l.Close()
	}
	return errors.Join(err, s.door.Release())
}

// sleep waits for d, or for the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
