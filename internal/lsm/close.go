package lsm

import (
	"context"
	"os"
	"time"

	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/manifest"
	"github.com/levelparty/party/internal/format/wal"
	"github.com/levelparty/party/internal/vfs"
)

// A handle ends in three steps: Close stops what is going on, Tidy is for the
// last of all, and Release gives up what it holds. Between them the caller
// leaves the control block.

// tidyLog is how much in logs the last member leaves for the next one to read
// again, in bytes: reading takes a millisecond, writing a table several.
const tidyLog = 256 << 10

// Close ends the handle's operations. It does not wait for iterators and
// snapshots, which are ErrClosed from then on. REQUIRES: Resign, if the handle
// led.
func (db *DB) Close() error {
	if db.closed.Swap(true) {
		return ErrClosed
	}
	db.stop()
	db.keeper.Wait()
	db.writer.turn <- struct{}{} // who writes now ends first
	err := db.writer.close()
	<-db.writer.turn
	db.syncer.close()
	return err
}

// Release gives up what the handle holds, but for what iterators and snapshots
// read. REQUIRES: Close.
func (db *DB) Release() error {
	db.viewMu.Lock()
	defer db.viewMu.Unlock()
	if v := db.view.Swap(nil); v != nil && v.refs.Add(-1) == 0 {
		db.dropViewLocked(v)
	}
	if db.current != nil {
		db.dropVersionLocked(db.current)
		db.current = nil
	}
	db.fresh.unref()
	db.fresh = nil
	db.tables.close()
	return nil
}

// Tidy leaves the files as LevelDB would, and with little in the logs.
// REQUIRES: Close, and nobody else has the database open or can open it.
func (db *DB) Tidy() error {
	if db.readOnly {
		return nil
	}
	if err := db.settleLast(); err != nil {
		db.log.Warn("left as it is, for the next to recover", "path", db.dir, "reason", err)
		return nil
	}
	st := db.ctl.State()
	if err := vfs.Truncate(db.fs, db.path(format.LogName(st.Log)), st.LogLen); err != nil {
		return err
	}
	failpoint.Hit("lsm.tidy.truncated")
	if db.ctl.Failed() == nil {
		if err := db.removeUnused(); err != nil {
			return err
		}
	}
	if st.LogLen+st.ImmLen > tidyLog && db.ctl.Failed() == nil {
		if err := db.flushAll(); err != nil {
			return err // the logs are still there
		}
	}
	for _, log := range []format.FileNum{st.Log, st.ImmLog} {
		if err := db.removeMem(log); err != nil {
			return err
		}
		failpoint.Hit("lsm.tidy.mem_removed")
	}
	return nil
}

// settleLast carries through, or cuts, what a writer that died has left.
func (db *DB) settleLast() error {
	if db.ctl.Failed() != nil {
		return nil // the logs tell
	}
	db.viewMu.Lock()
	err := db.refreshLocked()
	db.viewMu.Unlock()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := db.lockAll(ctx); err != nil {
		return err
	}
	db.ctl.Unlock()
	return db.writer.close()
}

// flushAll writes both memtables into tables. Nobody is told.
func (db *DB) flushAll() error {
	db.viewMu.Lock()
	defer db.viewMu.Unlock()
	st := db.ctl.State()
	v := db.view.Load()
	if v == nil || v.epoch != st.Epoch {
		return nil // the next one reads the logs
	}
	e := &manifest.Edit{LastSeq: st.Seq, HasLastSeq: true, HasLogNumber: true, HasPrevLogNumber: true, HasNextFile: true}
	for _, m := range []*mem{v.imm, v.mem} {
		if m == nil {
			continue
		}
		t, err := db.writeMem(m)
		if err != nil {
			db.discard(err, e.Added)
			return err
		}
		if t != nil {
			e.Added = append(e.Added, manifest.AddedFile{FileMeta: *t})
		}
	}
	failpoint.Hit("lsm.tidy.tables")
	e.LogNumber = db.ctl.NextFile() // of no log yet
	e.NextFile = db.ctl.PeekNextFile()
	f, err := db.fs.OpenFile(db.path(format.ManifestName(st.Manifest)), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(st.ManifestLen); err != nil {
		return err
	}
	if err := db.fs.SyncDir(db.dir); err != nil {
		return err
	}
	if _, err := f.WriteAt(wal.AppendRecord(nil, st.ManifestLen, e.Append(nil)), st.ManifestLen); err != nil {
		return err
	}
	failpoint.Hit("lsm.tidy.appended")
	return f.SyncData()
}
