package lsm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/wal"
	"github.com/levelparty/party/internal/memtable"
	"github.com/levelparty/party/internal/vfs"
)

// All members append to one log, the active one, each with a descriptor of its
// own. It is begun together with its memtable.

const (
	// logStep is by how much the file of a log grows ahead of what is written,
	// so that a sync need not change its size, in bytes.
	logStep = 1 << 20

	maxReused = 4 << 20 // memory that is kept for the next record, in bytes
)

// writer is what only the one that has its turn may use.
type writer struct {
	interrupt atomic.Pointer[context.CancelFunc] // of its wait for the leader; for all
	turn      chan struct{}                      // of this process's goroutines: holds a token while somebody writes
	num       format.FileNum
	log       vfs.File // the active log, or the last that was
	// Reused memory.
	batch, record []byte
}

func (w *writer) init() { w.turn = make(chan struct{}, 1) }

func (w *writer) close() error {
	if w.log == nil {
		return nil
	}
	err := w.log.Close()
	w.log, w.num = nil, 0
	return err
}

// appendLog writes the record of a batch behind st's log, and moves st's length
// behind it.
func (db *DB) appendLog(st *coord.State, first format.SeqNum, records []byte, count int) error {
	w := &db.writer
	if w.num != st.Log {
		if err := db.openLog(st.Log); err != nil {
			return err
		}
	}
	offset := st.LogLen
	w.batch = append(format.AppendBatchHeader(w.batch[:0], first, count), records...)
	w.record = wal.AppendRecord(w.record[:0], offset, w.batch)
	end := offset + int64(len(w.record))
	if err := db.growLog(end); err != nil {
		return err
	}
	failpoint.Torn("lsm.write.torn", w.log, w.record, offset)
	n, err := w.log.WriteAt(w.record, offset)
	failpoint.Hit("lsm.write.appended")
	db.count(countWritten, int64(n))
	if cap(w.record) > maxReused {
		w.batch, w.record = nil, nil
	}
	if err != nil {
		if n > 0 {
			// A record that nobody was told of must not be found later.
			if e := db.cutLog(offset, true); e != nil {
				return db.fail(coord.FailWrite, errors.Join(err, e))
			}
		}
		return fmt.Errorf("append to log %d at %d: %w", st.Log, offset, err)
	}
	st.LogLen = end
	return nil
}

// growLog makes the file of the active log reach to end at least.
func (db *DB) growLog(end int64) error {
	have := int64(db.ctl.LogAlloc())
	if end <= have {
		return nil
	}
	to := (end + logStep - 1) / logStep * logStep
	err := db.writer.log.Allocate(have, to-have)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil // it grows as it is written
	}
	if err != nil {
		return fmt.Errorf("allocate log %d up to %d: %w", db.writer.num, to, err)
	}
	failpoint.Hit("lsm.log.grown")
	db.ctl.SetLogAlloc(to)
	return nil
}

// cutLog drops what is behind the published length of the active log: durably,
// if there is anything, for what is written there next must not be mixed with
// it after a loss of power.
func (db *DB) cutLog(length int64, durably bool) error {
	db.ctl.SetLogAlloc(length)
	if err := db.writer.log.Truncate(length); err != nil || !durably {
		return err
	}
	return db.writer.log.SyncData()
}

func (db *DB) openLog(num format.FileNum) error {
	f, err := db.fs.OpenFile(db.path(format.LogName(num)), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_ = db.writer.close()
	db.writer.log, db.writer.num = f, num
	return nil
}

// rotate makes the active memtable immutable and begins a new one with room
// for need bytes, and its log.
func (db *DB) rotate(st *coord.State, need int64) error {
	num := db.ctl.NextFile()
	log, allocated, m, err := db.newLog(num, max(int64(db.cfg.WriteBuffer), memtable.HeaderLen+need))
	if err != nil {
		return fmt.Errorf("begin log %d: %w", num, err)
	}
	old, oldLen := db.writer.log, st.LogLen
	if db.writer.num == st.Log {
		_ = old.Truncate(oldLen) // it grows no more; a failure costs space
	}
	failpoint.Hit("lsm.rotate.truncated")
	_ = db.writer.close()
	db.writer.log, db.writer.num = log, num
	db.viewMu.Lock()
	db.fresh.unref()
	db.fresh = m
	db.viewMu.Unlock()
	st.ImmLog, st.ImmLen, st.ImmSeq = st.Log, st.LogLen, st.Seq
	st.Log, st.LogLen = num, 0
	st.Epoch++
	db.ctl.SetLogAlloc(allocated)
	failpoint.Hit("lsm.rotate.ready")
	db.ctl.Publish(*st)
	failpoint.Hit("lsm.rotate.published")
	err = db.refresh()
	db.viewMu.Lock()
	db.fresh.unref()
	db.fresh = nil
	db.viewMu.Unlock()
	return err
}

// newLog makes an empty log and its memtable, and returns how far the log is
// allocated.
func (db *DB) newLog(num format.FileNum, size int64) (_ vfs.File, allocated int64, _ *mem, err error) {
	path := db.path(format.LogName(num))
	f, err := db.fs.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, db.mode)
	if err != nil {
		return nil, 0, nil, err
	}
	allocated = logStep
	if err = f.Allocate(0, allocated); errors.Is(err, errors.ErrUnsupported) {
		allocated, err = 0, nil
	}
	failpoint.Hit("lsm.log.created")
	var m *mem
	if err == nil {
		m, err = db.newMem(num, size)
	}
	failpoint.Hit("lsm.log.ready")
	if err != nil {
		f.Close()
		db.fs.Remove(path)
		return nil, 0, nil, err
	}
	return f, allocated, m, nil
}
