package coord

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/vfs"
)

// Joined ends what Open began for the first member: others may come in.
// REQUIRES: Publish of the state of the recovered database.
func (c *Control) Joined() {
	c.leaving.Lock()
	defer c.leaving.Unlock()
	if !c.joining {
		return
	}
	c.joining = false
	failpoint.Hit("coord.joined.before")
	c.b.head.ready.Store(1)
	failpoint.Hit("coord.joined.ready")
	_ = c.lock.Unlock(joinByte) // if not, joiners wait until we have left
}

// leavePatience is how long Leave waits for the join lock. Who holds it for longer
// has been stopped: a member cannot be recovering while we are in, and what else
// is done under the lock takes milliseconds.
const leavePatience = 2 * time.Second

// Leave ends the membership. If nobody else is in, it first runs last, which puts
// the files in order, while nobody can come in, and removes the block. It returns
// what last does; the membership has ended all the same. A kill at any point
// leaves what the kill of a member leaves.
//
// REQUIRES: no other method is running. Those that come late find the handle
// closed where they could do harm.
func (c *Control) Leave(last func() error) error {
	c.leaving.Lock()
	defer c.leaving.Unlock()
	if c.released {
		return nil
	}
	alone, err := c.alone()
	failpoint.Hit("coord.leave.locked")
	if alone && last != nil && !c.joining {
		c.ending.Store(false) // last may take over from the dead
		err = errors.Join(err, vfs.Guard(last))
	}
	failpoint.Hit("coord.leave.tidied")
	return errors.Join(err, c.end(alone))
}

// alone reports whether nobody else is in and, by the join lock that it took,
// nobody can come in.
func (c *Control) alone() (bool, error) {
	if c.lock == nil {
		return true, nil
	}
	if !c.joining {
		ctx, cancel := context.WithTimeout(context.Background(), leavePatience)
		defer cancel()
		if err := waitJoin(ctx, c.lock, filepath.Join(c.dir, lockName)); err != nil {
			// The files are then put in order by whoever opens them next.
			return false, nil
		}
	}
	_, others, err := c.lock.Held(slotByte, maxMembers)
	return err == nil && !others, err
}

// Close ends the membership as a kill would: after a failure.
func (c *Control) Close() error {
	c.leaving.Lock()
	defer c.leaving.Unlock()
	if c.released {
		return nil
	}
	return c.end(c.joining) // nobody else can be in before Joined
}

// end gives everything up. alone: and nobody needs the block any more.
func (c *Control) end(alone bool) error {
	c.released = true
	c.left.Store(true)
	err := vfs.Guard(func() error {
		c.Resign()
		c.WakeAll() // those of this process who still sleep see that it has left
		return nil
	})
	if errors.Is(err, vfs.ErrFault) {
		err = nil // it is no longer needed
	}
	if c.lock == nil {
		return err
	}
	if alone && c.blockNamed() {
		err = errors.Join(err, os.Remove(filepath.Join(c.dir, Name)))
		failpoint.Hit("coord.leave.block_removed")
	}
	// The block's flock goes first: who comes next takes it for a member's.
	return errors.Join(err, c.shm.Close(), c.lock.Close())
}

// blockNamed reports whether our block still has its name.
func (c *Control) blockNamed() bool {
	mine, err := c.shm.Stat()
	if err != nil {
		return false
	}
	now, err := os.Lstat(filepath.Join(c.dir, Name))
	return err == nil && os.SameFile(mine, now)
}

// EndWaits makes who waits for the write lock or for the leader give up, now and
// later, with store.ErrClosed: before Leave, which waits for them.
func (c *Control) EndWaits() {
	c.ending.Store(true)
	_ = vfs.Guard(func() error { c.WakeAll(); return nil })
}

// WaitErr says why a wait has to end.
func (c *Control) WaitErr(ctx context.Context) error {
	if c.ending.Load() || c.left.Load() {
		return store.ErrClosed
	}
	return ctx.Err()
}

// tryByte takes a byte's lock, as the only member always can.
func (c *Control) tryByte(at int64) (bool, error) {
	if c.lock == nil {
		return true, nil
	}
	err := c.lock.TryLock(at, false)
	if errors.Is(err, vfs.ErrHeld) {
		return false, nil
	}
	return err == nil, err
}
