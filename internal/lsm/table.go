package lsm

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/sstable"
	"github.com/levelparty/party/internal/vfs"
)

// table is an open table: mapped where the system can, so that it needs no
// descriptor and its pages belong to the system's cache, which all processes
// share. It is closed when the last reader has let go of it.
type table struct {
	sstable.Reader
	refs    atomic.Int32 // one is the file's
	used    atomic.Bool  // since the last look for one to close
	mapping []byte
	f       vfs.File // if not mapped
}

// mapped is a whole file in memory.
type mapped []byte

func (m mapped) Bytes() []byte { return m }
func (m mapped) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(m)) {
		return 0, os.ErrInvalid
	}
	return copy(p, m[off:]), nil
}

// ref takes hold of t, unless it is closed already.
func (t *table) ref() bool {
	for {
		n := t.refs.Load()
		if n <= 0 {
			return false
		}
		if t.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (t *table) unref() {
	if t.refs.Add(-1) == 0 {
		if t.mapping != nil {
			_ = vfs.Unmap(t.mapping)
		}
		if t.f != nil {
			t.f.Close()
		}
	}
}

// tables are the open tables of a handle.
type tables struct {
	dir     string
	fs      vfs.FS
	limit   int
	cache   sstable.Cache
	verify  bool
	unmaped bool // never map: for tests

	opened func(n int64) // called with 1 and -1, if set: for statistics

	mu   sync.Mutex
	open []*file
	hand int // of the clock: the next that may be closed
}

// get opens f, or finds it open. The caller lets go of the table by unref.
func (ts *tables) get(f *file) (*table, error) {
	if t := f.table.Load(); t != nil && t.ref() {
		if !t.used.Load() {
			t.used.Store(true)
		}
		return t, nil
	}
	return ts.load(f)
}

func (ts *tables) load(f *file) (*table, error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := f.table.Load(); t != nil && t.ref() {
		return t, nil
	}
	t, err := ts.read(f)
	if err != nil {
		return nil, err
	}
	t.refs.Store(2)
	t.used.Store(true)
	f.table.Store(t)
	ts.open = append(ts.open, f)
	ts.note(1)
	for n := 0; len(ts.open) > ts.limit && n < 2*ts.limit; n++ {
		ts.hand %= len(ts.open)
		old := ts.open[ts.hand]
		if old != f && !old.table.Load().used.Swap(false) {
			ts.dropLocked(ts.hand)
		} else {
			ts.hand++
		}
	}
	return t, nil
}

func (ts *tables) read(f *file) (*table, error) {
	name := format.TableName(f.Num)
	file, err := ts.fs.Open(filepath.Join(ts.dir, name))
	if errors.Is(err, os.ErrNotExist) {
		name = format.OldTableName(f.Num)
		if old, e := ts.fs.Open(filepath.Join(ts.dir, name)); e == nil {
			file, err = old, nil
		}
	}
	if err != nil {
		return nil, err
	}
	t := new(table)
	o := sstable.ReaderOptions{Name: name, ID: uint64(f.Num), Cache: ts.cache, VerifyChecksums: ts.verify}
	size, err := file.Size()
	if err == nil && size < int64(f.Size) {
		err = &format.Corruption{File: name, Offset: size, Reason: "the file ends too early"}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	var src sstable.Source = file
	if !ts.unmaped {
		t.mapping, err = file.Map(int64(f.Size))
	}
	if t.mapping != nil {
		file.Close()
		src = mapped(t.mapping)
	} else if err == nil || errors.Is(err, errors.ErrUnsupported) {
		t.f = file
	} else {
		file.Close()
		return nil, err
	}
	err = sstable.OpenInto(&t.Reader, src, int64(f.Size), o)
	if err != nil {
		t.refs.Store(1)
		t.unref()
		return nil, err
	}
	return t, nil
}

// dropLocked closes the i-th open table, as soon as nobody reads it.
func (ts *tables) dropLocked(i int) {
	f := ts.open[i]
	last := len(ts.open) - 1
	ts.open[i] = ts.open[last]
	ts.open[last] = nil
	ts.open = ts.open[:last]
	ts.note(-1)
	f.table.Swap(nil).unref()
}

// forget closes f, which no version holds any longer.
func (ts *tables) forget(f *file) {
	if f.table.Load() == nil {
		return
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for i, o := range ts.open {
		if o == f {
			ts.dropLocked(i)
			return
		}
	}
}

func (ts *tables) close() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for len(ts.open) > 0 {
		ts.dropLocked(len(ts.open) - 1)
	}
}
