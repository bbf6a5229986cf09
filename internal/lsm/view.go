package lsm

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/format"
)

// view is what a reader needs: the memtables and the version of one epoch. Who
// holds a view reads from it for as long as they like, whatever others write,
// flush, compact or die of meanwhile. It ends with the last who holds it.
type view struct {
	db      *DB
	epoch   uint64
	mem     *mem
	imm     *mem // nil if there is none
	version *version
	refs    atomic.Int64 // one is the DB's, while the view is the current one
}

// acquire returns the current view, and the sequence number up to which it may
// be read. The caller lets go of the view by release. No system call is made
// and nothing is locked unless the state has changed its shape since last time.
func (db *DB) acquire() (*view, format.SeqNum, error) {
	for {
		seq, epoch := db.ctl.Seq()
		if v := db.view.Load(); v != nil && v.epoch == epoch && v.hold() {
			return v, format.SeqNum(seq), nil
		}
		if err := db.refresh(); err != nil {
			return nil, 0, err
		}
	}
}

func (v *view) hold() bool {
	for {
		n := v.refs.Load()
		if n <= 0 {
			return false
		}
		if v.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (v *view) release() {
	if v.refs.Add(-1) == 0 {
		v.db.dropView(v)
	}
}

// refresh makes the view that belongs to the present state the current one.
func (db *DB) refresh() error {
	db.viewMu.Lock()
	defer db.viewMu.Unlock()
	if db.closed.Load() {
		return ErrClosed
	}
	return db.refreshLocked()
}

func (db *DB) refreshLocked() error {
	for {
		st := db.ctl.State()
		if v := db.view.Load(); v != nil && v.epoch == st.Epoch {
			return nil
		}
		v, err := db.buildLocked(&st)
		if err == nil {
			db.setViewLocked(v)
			return nil
		}
		// A file that is not there any more belongs to a state that is not there
		// any more, or is missing.
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if db.ctl.State().Epoch == st.Epoch {
			return fmt.Errorf("%w: %w", ErrCorrupted, err)
		}
	}
}

func (db *DB) setViewLocked(v *view) {
	old := db.view.Swap(v)
	db.views = append(db.views, v)
	if old != nil && old.refs.Add(-1) == 0 {
		db.dropViewLocked(old)
	} else {
		db.pinLocked()
	}
}

// buildLocked makes the view of a state. It takes from the current one what is
// still the same.
func (db *DB) buildLocked(st *coord.State) (_ *view, err error) {
	v := &view{db: db, epoch: st.Epoch}
	old := db.view.Load()
	have := func(log format.FileNum) (*mem, error) {
		if old != nil {
			if old.mem.log == log {
				return old.mem.ref(), nil
			}
			if old.imm != nil && old.imm.log == log {
				return old.imm.ref(), nil
			}
		}
		// What this handle has made itself and nobody has looked at yet.
		if m := db.fresh; m != nil && m.log == log {
			return m.ref(), nil
		}
		return db.openMem(log)
	}
	if v.mem, err = have(st.Log); err != nil {
		return nil, err
	}
	if st.ImmLog != 0 {
		if v.imm, err = have(st.ImmLog); err != nil {
			v.mem.unref()
			return nil, err
		}
	}
	if err = db.follow(st); err != nil {
		v.mem.unref()
		v.imm.unref()
		return nil, err
	}
	v.version = db.current
	v.version.refs++
	v.refs.Store(1)
	return v, nil
}

// holdVersionLocked makes v the version that views are built on.
func (db *DB) holdVersionLocked(v *version) {
	v.refs++
	v.files(func(_ int, f *file) {
		f.versions++
		db.files[f.Num] = f
	})
	old := db.current
	db.current = v
	if old != nil {
		db.dropVersionLocked(old)
	}
}

func (db *DB) dropVersionLocked(v *version) {
	if v.refs--; v.refs > 0 {
		return
	}
	v.files(func(_ int, f *file) {
		if f.versions--; f.versions == 0 {
			delete(db.files, f.Num)
			db.tables.forget(f)
		}
	})
}

func (db *DB) dropView(v *view) {
	db.viewMu.Lock()
	defer db.viewMu.Unlock()
	db.dropViewLocked(v)
}

func (db *DB) dropViewLocked(v *view) {
	if i := slices.Index(db.views, v); i >= 0 {
		db.views = slices.Delete(db.views, i, i+1)
	}
	db.dropVersionLocked(v.version)
	v.mem.unref()
	v.imm.unref()
	db.pinLocked()
}

// pinLocked tells the leader the oldest version that this handle reads.
func (db *DB) pinLocked() {
	if len(db.views) == 0 || db.closed.Load() {
		return // the slot may be another member's by now
	}
	oldest := db.views[0].version.id
	for _, v := range db.views[1:] {
		oldest = min(oldest, v.version.id)
	}
	db.ctl.SetPin(oldest)
}
