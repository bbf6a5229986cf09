package lsm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/vfs"
)

// syncer is what a sync needs. One goroutine of one process uses it at a time,
// see coord.Control.Sync; mu is for Close.
type syncer struct {
	mu   sync.Mutex
	logs [2]struct { // open logs: the active and the one before
		num format.FileNum
		f   vfs.File
	}
	imm format.FileNum // the log before the active one, once it was synced to its end
}

// Sync makes all writes up to pos durable. Who waits at the same time, in any
// process, is served by one sync.
func (db *DB) Sync(ctx context.Context, pos Position) error {
	syncLogs := func() error {
		err := db.syncLogs(pos.log)
		// A handle that is closed, or a file that cannot be opened for want of
		// descriptors, takes nothing from the others.
		var open *fs.PathError
		if errors.Is(err, ErrClosed) || errors.As(err, &open) && open.Op == "open" {
			err = fmt.Errorf("%w: %w", coord.ErrNotTried, err)
		}
		return err
	}
	return faulted(vfs.Guard(func() error { return db.ctl.Sync(ctx, pos.log, pos.end, syncLogs) }))
}

// syncLogs makes what a log holds durable, and before that the log before it:
// what survives a loss of power is then a beginning of what was written.
func (db *DB) syncLogs(log format.FileNum) error {
	if db.closed.Load() {
		return ErrClosed
	}
	s := &db.syncer
	s.mu.Lock()
	defer s.mu.Unlock()
	if imm := db.ctl.State().ImmLog; imm != 0 && imm < log && s.imm != imm {
		if err := db.syncLog(imm); err != nil {
			return err
		}
		s.imm = imm
	}
	if err := db.syncLog(log); err != nil {
		return err
	}
	failpoint.Hit("lsm.sync.log")
	if !db.ctl.DirSynced(log) {
		if err := db.fs.SyncDir(db.dir); err != nil {
			return err
		}
		db.ctl.SetDirSynced(log)
	}
	return nil
}

// syncLog makes one log durable. One that is not there is in a table, durably.
func (db *DB) syncLog(num format.FileNum) error {
	s := &db.syncer
	at := &s.logs[0]
	if s.logs[1].num == num {
		at = &s.logs[1]
	}
	if at.num != num {
		if s.logs[1].num < at.num {
			at = &s.logs[1] // the older one goes
		}
		f, err := db.fs.OpenFile(db.path(format.LogName(num)), os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) && db.ctl.State().Log > num {
			return nil
		}
		if err != nil {
			return err
		}
		if at.f != nil {
			at.f.Close()
		}
		at.num, at.f = num, f
	}
	return at.f.SyncData()
}

func (s *syncer) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.logs {
		if s.logs[i].f != nil {
			s.logs[i].f.Close()
		}
		s.logs[i].f, s.logs[i].num = nil, 0
	}
}
