package lsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/wal"
	"github.com/levelparty/party/internal/memtable"
	"github.com/levelparty/party/internal/vfs"
)

// A write is: append to the log, insert into the memtable, publish. All of it
// happens under the write lock, which one process at a time has. Who dies in
// between leaves either nothing that counts, or a whole record behind the
// published length, which the next to take the lock carries through.

const (
	// logStep is by how much the file of a log grows ahead of what is written,
	// so that a sync need not change its size, in bytes.
	logStep = 1 << 20

	maxReused = 4 << 20 // memory that is kept for the next record, in bytes

	// LevelDB's rules for writers that are faster than compactions: so many
	// tables in level 0 make every write wait a moment, so many stop them.
	slowLevel0 = 8
	stopLevel0 = 12
	slowPause  = time.Millisecond

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

// Position is a place in the logs: just behind a write.
type Position struct {
	Seq format.SeqNum // of the last record
	log format.FileNum
	end int64
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
		if err := db.repair(); err != nil {
			db.ctl.Unlock()
			return fmt.Errorf("carry on after a writer that died: %w", err)
		}
	}
	return nil
}

// Write applies count records as one. before, if set, is called when it is
// certain which sequence number the first gets; its error stops the write.
func (db *DB) Write(ctx context.Context, records []byte, count int, before func(first format.SeqNum) error) (pos Position, err error) {
	err = vfs.Guard(func() (err error) {
		pos, err = db.writeSlowly(ctx, records, count, before)
		return err
	})
	return pos, faulted(err)
}

// writeSlowly is Write. It waits a moment if the leader is behind.
func (db *DB) writeSlowly(ctx context.Context, records []byte, count int, before func(first format.SeqNum) error) (Position, error) {
	if db.ctl.State().Level0 >= slowLevel0 {
		// Without the lock: the leader needs it to finish.
		end := db.delay()
		t := time.NewTimer(slowPause)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
		end()
	}
	t, err := db.Lock(ctx)
	if err != nil {
		return Position{}, err
	}
	defer t.Unlock()
	return t.write(ctx, records, count, before)
}

// Write is DB.Write in one's turn. If it has to wait for the leader it lends
// the lock out.
func (t *Turn) Write(ctx context.Context, records []byte, count int, before func(first format.SeqNum) error) (pos Position, err error) {
	err = vfs.Guard(func() (err error) {
		pos, err = t.write(ctx, records, count, before)
		return err
	})
	return pos, faulted(err)
}

// MakeRoom does what a Write of the same records could have to wait for.
func (t *Turn) MakeRoom(ctx context.Context, records []byte, count int) error {
	need, err := needOf(records, count)
	if err != nil {
		return err
	}
	return faulted(vfs.Guard(func() error {
		st := t.db.ctl.State()
		m, err := t.makeRoom(ctx, &st, need)
		if err == nil {
			m.unref()
		}
		return err
	}))
}

func (t *Turn) write(ctx context.Context, records []byte, count int, before func(first format.SeqNum) error) (Position, error) {
	db := t.db
	if t.lost {
		return Position{}, ErrClosed
	}
	if err := db.ctl.Failed(); err != nil {
		return Position{}, err
	}
	need, err := needOf(records, count)
	if err != nil {
		return Position{}, err
	}
	st := db.ctl.State()
	if st.Seq+format.SeqNum(count) > format.MaxSeqNum {
		return Position{}, fmt.Errorf("sequence numbers are used up: %w", ErrInvalid)
	}
	m, err := t.makeRoom(ctx, &st, need)
	if err != nil {
		return Position{}, err
	}
	defer m.unref()
	first := st.Seq + 1
	if before != nil {
		if err := before(first); err != nil {
			return Position{}, err
		}
	}
	if err := db.appendLog(&st, first, records, count); err != nil {
		return Position{}, err
	}
	// From here on the record is there, and entries of it may be: it is published,
	// or nothing is any more.
	published := false
	defer func() {
		if !published {
			db.ctl.Fail(coord.FailWrite)
		}
	}()
	if failpoint.Breaks(failpoint.PublishFirst) {
		early := st
		early.Seq += format.SeqNum(count)
		db.ctl.Publish(early)
		failpoint.Dawdle(failpoint.PublishFirst)
	}
	if err := insert(m, first, records); err != nil {
		return Position{}, db.fail(coord.FailWrite, fmt.Errorf("memtable of log %d: %w", m.log, err))
	}
	failpoint.Hit("lsm.write.inserted")
	failpoint.Dawdle(failpoint.SkipRollForward)
	st.Seq += format.SeqNum(count)
	db.ctl.Publish(st)
	failpoint.Hit("lsm.write.published")
	published = true
	db.count(countWrites, 1)
	db.count(countRecords, int64(count))
	return Position{st.Seq, st.Log, st.LogLen}, nil
}

// fail refuses all further writes, by all members: what the log holds is not
// certain any more.
func (db *DB) fail(code coord.FailCode, err error) error {
	db.ctl.Fail(code)
	return fmt.Errorf("%w: %w", db.ctl.Failed(), err)
}

// needOf returns the most that records can take in a memtable.
func needOf(records []byte, count int) (need int64, err error) {
	n := 0
	for rest := records; len(rest) > 0; n++ {
		var r format.Record
		if r, rest, err = format.NextRecord(rest); err != nil {
			return 0, err
		}
		need += memtable.Need(len(r.Key), len(r.Value))
	}
	if n != count || n == 0 {
		return 0, fmt.Errorf("batch of %d records says it has %d: %w", n, count, ErrInvalid)
	}
	return need, nil
}

func insert(m *mem, seq format.SeqNum, records []byte) error {
	for len(records) > 0 {
		r, rest, err := format.NextRecord(records)
		if err != nil {
			return err
		}
		kind := format.KindPut
		if r.Delete {
			kind = format.KindDelete
		}
		if err := m.Insert(r.Key, format.Trailer(seq, kind), r.Value); err != nil {
			return err
		}
		failpoint.Hit("lsm.insert.entry")
		if len(rest) > 0 {
			failpoint.Dawdle(failpoint.SkipRollForward)
		}
		records = rest
		seq++
	}
	return nil
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

// makeRoom returns the active memtable, held, with room for need bytes. It
// begins a new one, or waits until it can. st is read anew then.
func (t *Turn) makeRoom(ctx context.Context, st *coord.State, need int64) (*mem, error) {
	db := t.db
	for {
		m, err := db.activeMem(st)
		if err != nil {
			return nil, err
		}
		if m.Room() >= need {
			return m, nil
		}
		m.unref()
		switch {
		case t.alone && st.ImmLog != 0:
			return nil, fmt.Errorf("a second write while nobody else may write: %w", ErrInvalid)
		case t.alone:
		case st.ImmLog != 0 || st.Level0 >= stopLevel0:
			if err := t.waitForLeader(ctx, st); err != nil {
				return nil, err
			}
			continue
		}
		if err := db.rotate(st, need); err != nil {
			return nil, err
		}
	}
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

// activeMem returns the memtable of st's log, held.
func (db *DB) activeMem(st *coord.State) (*mem, error) {
	if v := db.view.Load(); v != nil && v.epoch == st.Epoch && v.hold() {
		m := v.mem.ref()
		v.release()
		return m, nil
	}
	// Under the write lock st cannot change.
	if err := db.refresh(); err != nil {
		return nil, err
	}
	db.viewMu.Lock()
	defer db.viewMu.Unlock()
	v := db.view.Load()
	if v == nil {
		return nil, ErrClosed
	}
	return v.mem.ref(), nil
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

// repair carries through, or cuts, what a writer that died inside the lock has
// left behind the published length of the log. REQUIRES: the write lock.
func (db *DB) repair() error {
	st := db.ctl.State()
	if err := db.openLog(st.Log); err != nil {
		return err
	}
	failpoint.Hit("lsm.repair.begun")
	offset := st.LogLen
	name := format.LogName(st.Log)
	log := wal.NewReader(db.writer.log, name, offset, -1)
	payload, end, err := log.Next()
	clean := isEOF(err) && !log.Torn() && log.Damage() == nil
	if err == nil {
		var seq format.SeqNum
		var records []byte
		var count int
		if seq, count, records, err = format.ParseBatch(payload); err == nil && seq == st.Seq+1 && !failpoint.Breaks(failpoint.SkipRollForward) {
			if n, e := format.CountRecords(records); e == nil && n == count {
				m, err := db.activeMem(&st)
				if err != nil {
					return err
				}
				defer m.unref()
				if err := insert(m, seq, records); err != nil {
					return db.fail(coord.FailRepair, err)
				}
				st.Seq += format.SeqNum(count)
				failpoint.Hit("lsm.repair.inserted")
				st.LogLen = end
				db.ctl.Publish(st)
				failpoint.Hit("lsm.repair.published")
				db.ctl.Repaired(uint64(st.Seq))
				return nil
			}
		}
	}
	if err != nil && !isEOF(err) && !errors.Is(err, ErrCorrupted) {
		return err
	}
	if err := db.cutLog(offset, !clean); err != nil {
		return err
	}
	failpoint.Hit("lsm.repair.cut")
	db.ctl.Repaired(uint64(st.Seq))
	return nil
}

func isEOF(err error) bool { return err == io.EOF }
