package lsm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/vfs"
)

// One process at a time writes, and one goroutine of it: who has its turn.

const (
	// blockedAfter is how long a write waits for other processes' before
	// Config.Blocked is told.
	blockedAfter = 5 * time.Millisecond

	// waitEpoch is how long is slept before a condition is looked at again,
	// although nobody has told that it changed.
	waitEpoch = 100 * time.Millisecond
)

// ErrInterrupted: a write that waited for the leader was interrupted. Nothing of
// it was done; it can be tried again.
var ErrInterrupted = errors.New("write interrupted")

// Interrupt ends the wait of a write of this handle for the leader, if there is
// one: it is ErrInterrupted.
func (db *DB) Interrupt() {
	if cancel := db.writer.interrupt.Load(); cancel != nil {
		(*cancel)()
	}
}

// Turn is the write lock, held: nobody else writes, in any process. For one
// goroutine.
type Turn struct {
	db    *DB
	lost  bool // given up while it waited: see waitForLeader
	alone bool // never lent out: see LockAlone
}

// Lock takes the write lock.
func (db *DB) Lock(ctx context.Context) (Turn, error) { return Turn{db: db}, db.lock(ctx) }

// LockAlone is Lock for who must not lend the lock out, since what was read under
// it has to stay so: it waits beforehand for what a Write could have to wait for.
// There is room for one Write, of any size.
func (db *DB) LockAlone(ctx context.Context) (Turn, error) {
	t, err := db.Lock(ctx)
	if err != nil {
		return t, err
	}
	st := db.ctl.State()
	for err == nil && (st.ImmLog != 0 || st.Level0 >= stopLevel0) {
		err = t.waitForLeader(ctx, &st)
	}
	if err != nil {
		t.Unlock()
		return t, err
	}
	t.alone = true
	return t, nil
}

// Unlock gives the write lock back.
func (t *Turn) Unlock() {
	if !t.lost {
		t.db.unlock()
	}
}

func (db *DB) lock(ctx context.Context) error {
	if db.readOnly {
		return ErrReadOnly
	}
	select {
	case db.writer.turn <- struct{}{}:
	default:
		select {
		case db.writer.turn <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		case <-db.ctx.Done():
			return ErrClosed
		}
	}
	if db.closed.Load() {
		<-db.writer.turn
		return ErrClosed
	}
	if err := vfs.Guard(func() error { return db.lockAll(ctx) }); err != nil {
		<-db.writer.turn
		return faulted(err)
	}
	return nil
}

func (db *DB) unlock() {
	defer func() { <-db.writer.turn }() // even if the control block is gone
	failpoint.Hit("lsm.unlock")
	db.ctl.Unlock()
}

// lockAll takes the write lock of all processes.
func (db *DB) lockAll(ctx context.Context) error {
	if db.cfg.Blocked != nil && db.ctl.Locked() {
		t := time.AfterFunc(blockedAfter, func() { db.cfg.Blocked(true) })
		defer func() {
			if !t.Stop() {
				db.cfg.Blocked(false)
			}
		}()
	}
	dead, err := db.ctl.Lock(ctx)
	if err != nil {
		return err
	}
	failpoint.Hit("lsm.lock.taken")
	if dead {
		if err := db.takeOver(); err != nil {
			db.ctl.Unlock()
			return fmt.Errorf("carry on after a writer that died: %w", err)
		}
	}
	return nil
}

// waitForLeader waits until the leader has flushed or compacted something. It
// lends the write lock out meanwhile.
func (t *Turn) waitForLeader(ctx context.Context, st *coord.State) error {
	db := t.db
	end := db.pause()
	db.unlock()
	err := db.trouble() // why the leader cannot
	if err == nil {
		waiting, cancel := context.WithCancel(ctx)
		db.writer.interrupt.Store(&cancel)
		err = db.await(waiting, st.Epoch)
		db.writer.interrupt.Store(nil)
		if err != nil && ctx.Err() == nil && waiting.Err() != nil {
			err = ErrInterrupted
		}
		cancel()
	}
	end()
	if e := db.lock(ctx); e != nil {
		t.lost = true
		return errors.Join(err, e)
	}
	*st = db.ctl.State()
	if err != nil {
		return fmt.Errorf("wait for the leader to write tables: %w", err)
	}
	return nil
}
