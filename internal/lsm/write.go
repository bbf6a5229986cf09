package lsm

import (
	"context"
	"fmt"
	"time"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/memtable"
	"github.com/levelparty/party/internal/vfs"
)

// A write is: append to the log, insert into the memtable, publish. All of it
// happens under the write lock, which one process at a time has. Who dies in
// between leaves either nothing that counts, or a whole record behind the
// published length, which the next to take the lock carries through.

const (
	// LevelDB's rules for writers that are faster than compactions: so many
	// tables in level 0 make every write wait a moment, so many stop them.
	slowLevel0 = 8
	stopLevel0 = 12
	slowPause  = time.Millisecond
)

// Position is a place in the logs: just behind a write.
type Position struct {
	Seq format.SeqNum // of the last record
	log format.FileNum
	end int64
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
