package lsm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/memtable"
	"github.com/levelparty/party/internal/vfs"
)

// mem is a memtable and the memory it is in: a mapping of n.mem that all
// members share or, for a handle that shares with nobody, its own.
type mem struct {
	*memtable.Table
	log   format.FileNum // it belongs to
	refs  atomic.Int32
	arena []byte
	path  string // "" if the memory is private
}

// maxArena is the most that a memtable's 32-bit offsets can reach.
const maxArena = 1<<32 - 1<<16

// newMem makes the empty memtable of a log.
func (db *DB) newMem(log format.FileNum, size int64) (*mem, error) {
	if size > maxArena {
		return nil, fmt.Errorf("memtable of %d bytes, limit %d: %w", size, int64(maxArena), ErrTooLarge)
	}
	m := &mem{log: log}
	m.refs.Store(1)
	if db.private {
		m.arena = make([]byte, size)
	} else {
		m.path = filepath.Join(db.dir, format.MemName(log))
		// One that recovery reads a log into again may be left of before.
		if err := os.Remove(m.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		f, err := vfs.OpenRegular(m.path, true)
		if err != nil {
			return nil, err
		}
		// In full before it is mapped: a hole that cannot be filled would be a
		// fault at the moment of writing.
		err = vfs.Allocate(f, 0, size)
		if err == nil {
			m.arena, err = vfs.MapShared(f, int(size))
		}
		failpoint.Hit("lsm.mem.created")
		f.Close()
		if err != nil {
			os.Remove(m.path)
			return nil, &os.PathError{Op: "allocate memtable", Path: m.path, Err: err}
		}
	}
	var err error
	if m.Table, err = memtable.Format(m.arena, log); err != nil {
		m.unref()
		return nil, err
	}
	return m, nil
}

// openMem maps the memtable of a log that another member has made.
func (db *DB) openMem(log format.FileNum) (*mem, error) {
	m := &mem{log: log, path: filepath.Join(db.dir, format.MemName(log))}
	m.refs.Store(1)
	f, err := vfs.OpenRegular(m.path, false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 || info.Size() > maxArena {
		return nil, &format.Corruption{File: m.path, Reason: fmt.Sprintf("memtable of %d bytes", info.Size())}
	}
	if m.arena, err = vfs.MapShared(f, int(info.Size())); err != nil {
		return nil, &os.PathError{Op: "map", Path: m.path, Err: err}
	}
	if m.Table, err = memtable.Attach(m.arena, log); err != nil {
		m.unref()
		return nil, fmt.Errorf("%s: %w", m.path, err)
	}
	return m, nil
}

func (m *mem) ref() *mem {
	m.refs.Add(1)
	return m
}

func (m *mem) unref() {
	if m != nil && m.refs.Add(-1) == 0 && m.path != "" {
		_ = vfs.Unmap(m.arena)
	}
}

// removeMem removes the file of a memtable. Members that have it mapped keep
// their mapping.
func (db *DB) removeMem(log format.FileNum) error {
	err := os.Remove(filepath.Join(db.dir, format.MemName(log)))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// empty reports whether m has no entries.
func (m *mem) empty() bool { return m.Len() == 0 }
