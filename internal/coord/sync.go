package coord

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/format"
)

// syncPatience is how long Sync waits for a member that is syncing, alive, and
// does not get done with it, since it may have been stopped. A second sync of the same
// file at the same time does no harm.
const syncPatience = 100 * time.Millisecond

// Sync returns nil once the log is durable up to end, which must be published.
// do makes the log's file durable as it is when do is called; one call serves all
// who wait, in all processes. If it fails, nobody may write any more: a second
// sync could succeed although data is lost. If it was ErrNotTried, they may.
// Waiting ends with ctx; what was
// written is then there, but it is not known to be durable.
func (c *Control) Sync(ctx context.Context, log format.FileNum, end int64, do func() error) error {
	if c.durableLen(log) >= end {
		return nil
	}
	// One of this process goes to the lock, and finds the others served.
	select {
	case c.syncing <- struct{}{}:
		defer func() { <-c.syncing }()
	case <-ctx.Done():
		return fmt.Errorf("wait for a sync: %w", ctx.Err())
	}
	done := func() bool { return c.durableLen(log) >= end || c.b.head.failed.Load() != 0 }
	if !done() {
		l := &c.b.sync.word
		got, _, err := c.acquire(ctx, l, wait{enough: done, patience: syncPatience})
		if err != nil {
			return fmt.Errorf("wait for a sync: %w", err)
		}
		switch got {
		case locked:
			defer c.release(l, true)
			if !done() {
				return c.syncTo(log, end, do, true)
			}
		case bored:
			return c.syncTo(log, end, do, false)
		}
	}
	if c.durableLen(log) >= end {
		return nil
	}
	return c.Failed()
}

func (c *Control) syncTo(log format.FileNum, end int64, do func() error, locked bool) error {
	// Whatever is published by now is in the file.
	s := c.State()
	switch log {
	case s.Log:
		end = max(end, s.LogLen)
	case s.ImmLog:
		end = max(end, s.ImmLen)
	}
	if err := do(); errors.Is(err, ErrNotTried) {
		return err
	} else if err != nil {
		c.Fail(FailSync)
		return fmt.Errorf("%w: %w", c.Failed(), err)
	}
	failpoint.Hit("coord.sync.done")
	if locked {
		c.setDurable(log, end)
		failpoint.Hit("coord.sync.told")
	}
	return nil
}

// durableLen returns how far the log is known to be durable.
func (c *Control) durableLen(log format.FileNum) int64 {
	for i := range c.b.sync.durable {
		d := &c.b.sync.durable[i]
		if d.log.Load() != uint64(log) {
			continue
		}
		n := d.length.Load()
		// The entry may have gone over to another log. No log's number comes back.
		if d.log.Load() == uint64(log) {
			return int64(n)
		}
	}
	return 0
}

// setDurable REQUIRES the sync lock.
func (c *Control) setDurable(log format.FileNum, end int64) {
	d := &c.b.sync.durable[0]
	if other := &c.b.sync.durable[1]; d.log.Load() != uint64(log) &&
		(other.log.Load() == uint64(log) || other.log.Load() < d.log.Load()) {
		d = other
	}
	if d.log.Load() != uint64(log) {
		d.length.Store(0)
		d.log.Store(uint64(log))
	}
	set(&d.length, uint64(end))
}

// DirSynced reports whether the name of the log is known to be durable.
func (c *Control) DirSynced(log format.FileNum) bool {
	return c.b.sync.dirLog.Load() >= uint64(log)
}

// SetDirSynced records that the names of all logs up to log are durable.
func (c *Control) SetDirSynced(log format.FileNum) { raise(&c.b.sync.dirLog, uint64(log)) }
