package lsm

import (
	"bytes"
	"context"
	"os"
	"sync"
	"time"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/manifest"
	"github.com/levelparty/party/internal/vfs"
)

// The leader writes tables: it flushes immutable memtables into level 0 and
// compacts. It removes files that nobody needs.

// lead is what only the leader uses.
type lead struct {
	mu     sync.Mutex // guards running and stop
	on     bool
	ctx    context.Context // ends with Resign
	stop   context.CancelFunc
	ended  sync.WaitGroup
	work   chan struct{} // there may be something to compact
	manual chan *manual

	edits    sync.Mutex // held to change the manifest
	obsolete obsolete
	born     format.FileNum // the tables this leader makes have it or a greater number
}

// retryPause is how long the leader waits after a failure before it tries
// again.
var retryPause = 500 * time.Millisecond

// Lead begins the leader's work. REQUIRES: the handle has the leader lock of
// its control block.
func (db *DB) Lead() error {
	if db.readOnly {
		return nil
	}
	l := &db.lead
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.on {
		return nil
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.work = make(chan struct{}, 1)
	l.manual = make(chan *manual)
	if err := db.cutManifest(); err != nil {
		l.stop()
		return err
	}
	failpoint.Hit("lsm.lead.cut")
	l.born = db.ctl.PeekNextFile()
	db.ctl.SetTrouble(nil)
	l.on = true
	l.ended.Add(2)
	go db.flushLoop()
	go db.compactLoop()
	return nil
}

// Resign ends the leader's work, at the next place where that is possible.
func (db *DB) Resign() {
	l := &db.lead
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.on {
		return
	}
	l.on = false
	l.stop()
	db.ctl.WakeAll()
	l.ended.Wait()
	db.manifest.close()
}

// cutManifest drops the edit that a leader was about to publish when it died.
func (db *DB) cutManifest() error {
	if err := db.lock(db.lead.ctx); err != nil {
		return err
	}
	defer db.unlock()
	return db.settleManifest()
}

// settleManifest makes the manifest tell of the published version, and CURRENT of
// that manifest. REQUIRES: nobody publishes another.
func (db *DB) settleManifest() error {
	st := db.ctl.State()
	path := db.path(format.ManifestName(st.Manifest))
	info, err := db.fs.Stat(path)
	if err == nil && info.Size() > st.ManifestLen {
		err = db.truncateManifest(path, st.ManifestLen)
	}
	if err != nil {
		return err
	}
	failpoint.Hit("lsm.lead.truncated")
	// It may have made a new manifest, and died before it said so.
	b, err := vfs.ReadFile(db.fs, db.path("CURRENT"))
	if err == nil && bytes.Equal(b, manifest.CurrentContents(st.Manifest)) {
		return nil
	}
	return db.setCurrent(st.Manifest)
}

// truncateManifest cuts a manifest off, durably: the tables of the edit that is
// cut off will be removed.
func (db *DB) truncateManifest(path string, size int64) error {
	f, err := db.fs.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return err
	}
	return f.SyncData()
}

// flushLoop writes immutable memtables out, and wakes the compactions.
func (db *DB) flushLoop() {
	defer db.lead.ended.Done()
	ctx := db.lead.ctx
	if err := db.sweep(); err != nil {
		db.log.Warn("remove what a leader before has left", "path", db.dir, "reason", err)
	}
	db.guardLoop(func() error {
		st := db.ctl.State()
		if st.ImmLog != 0 {
			if err := db.flush(); err != nil {
				db.inTrouble("flush", err)
			} else {
				db.ctl.SetTrouble(nil)
			}
			return nil
		}
		select {
		case db.lead.work <- struct{}{}:
		default:
		}
		db.removeObsolete()
		db.ctl.WaitEpoch(ctx, st.Epoch, time.Second)
		return nil
	})
}

// guardLoop calls f until the lead ends, or until f meets a fault in mapped
// memory, from which there is no way back.
func (db *DB) guardLoop(f func() error) {
	for db.lead.ctx.Err() == nil {
		if err := vfs.Guard(f); err != nil {
			db.log.Error("the leader's work ends", "path", db.dir, "reason", err)
			return
		}
	}
}

// inTrouble tells all members why tables cannot be written, and waits before the
// next attempt.
func (db *DB) inTrouble(what string, err error) {
	if db.lead.ctx.Err() != nil {
		return
	}
	db.log.Error(what, "path", db.dir, "reason", err)
	db.ctl.SetTrouble(err)
	t := time.NewTimer(retryPause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-db.lead.ctx.Done():
	}
}

// trouble returns why the leader cannot write tables, nil if it can.
func (db *DB) trouble() error {
	if err := db.ctl.Failed(); err != nil {
		return err
	}
	return db.ctl.Trouble()
}

// flush writes the immutable memtable into a table of level 0.
func (db *DB) flush() error {
	v, _, err := db.acquire()
	if err != nil {
		return err
	}
	defer v.release()
	st := db.ctl.State()
	if v.epoch != st.Epoch || v.imm == nil {
		return nil // the loop comes again
	}
	start := time.Now()
	f, err := db.writeMem(v.imm)
	if err != nil {
		return err
	}
	failpoint.Hit("lsm.flush.written")
	db.lead.edits.Lock()
	defer db.lead.edits.Unlock()
	e := &manifest.Edit{LastSeq: st.ImmSeq, HasLastSeq: true}
	if f != nil {
		e.Added = []manifest.AddedFile{{Level: 0, FileMeta: *f}}
		db.stats.flushed(f.Size, time.Since(start))
	}
	// What comes behind the flushed log is the active one: there is no third.
	e.LogNumber, e.HasLogNumber = st.Log, true
	e.PrevLogNumber, e.HasPrevLogNumber = 0, true
	if _, err = db.commit(e, func(s *coord.State) {
		s.ImmLog, s.ImmLen, s.ImmSeq = 0, 0, 0
		if f != nil {
			s.Level0++
		}
	}); err != nil {
		db.discard(err, e.Added)
		return err
	}
	failpoint.Hit("lsm.flush.committed")
	if err := db.removeMem(v.imm.log); err != nil {
		db.log.Warn("remove memtable", "path", db.dir, "reason", err)
	}
	failpoint.Hit("lsm.flush.mem_removed")
	return db.trimLogs()
}

// writeMem writes m into a table, durably. It returns nil for an empty
// memtable.
func (db *DB) writeMem(m *mem) (*manifest.FileMeta, error) {
	it := m.NewIter()
	if !it.First() {
		return nil, it.Err()
	}
	t, err := db.createTable()
	if err != nil {
		return nil, err
	}
	for ok := true; ok; ok = it.Next() {
		if err := t.add(it.Key(), it.Value()); err != nil {
			return nil, t.abandon(err)
		}
	}
	if err := it.Err(); err != nil {
		return nil, t.abandon(err)
	}
	return t.finish()
}
