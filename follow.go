package party

import (
	"time"

	"github.com/levelparty/party/internal/wire"
)

// follow serves the calls through the link until it ends, and returns how long
// the handle should leave the lead to others.
func (db *DB) follow(s *seat) (wait time.Duration) {
	db.mu.Lock()
	if db.role != Closed {
		// What waits is sent again, in the order in which it was asked, before
		// anything new.
		for _, c := range db.calls.Waiting() {
			if c.Bound != nil {
				continue
			}
			if err := s.link.Send(c); err != nil && db.calls.Take(c.ID) != nil {
				c.Finish(err)
			}
		}
		db.link, db.peer, db.greeted, db.blocked = s.link, s.peer, s.hello, nil
		if db.local.Load() == nil {
			db.changeLocked(Guest)
		} else {
			db.wakeLocked() // a member, for what only the leader can do
		}
	}
	db.mu.Unlock()
	s.link.Flush()

	select {
	case <-s.link.Down():
	case <-db.ctx.Done():
		s.link.Tell(wire.Request{Op: wire.OpLeave})
		s.link.Close()
		<-s.link.Down()
	}
	db.mu.Lock()
	db.link = nil
	if db.local.Load() == nil {
		db.changeLocked(Electing)
	}
	if db.o.NoRetry {
		db.failWaiting(ErrConnectionLost)
	}
	db.mu.Unlock()
	return s.link.Wait()
}
