package vfs

import (
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Mem is an FS in memory that can lose power: it knows what was synced, and
// Crash returns what may be left. For tests.
//
// Directories are there when they are named. Of the flags of OpenFile it knows
// those that create and truncate.
type Mem struct {
	mu      sync.Mutex
	files   map[string]*memFile
	durable map[string]*memFile // the names that were synced
	changed []nameChange        // since then, in order
}

// nameChange is one change of a directory that was not synced yet: file gets
// the name to, if there is one, and loses the name from. It survives as a whole
// or not at all.
type nameChange struct {
	from, to string
	file     *memFile
}

// sectorSize is what a disk writes at once: part of it can survive only by bad
// luck.
const sectorSize = 512

// tearUnit is the least part of a sector that survives, in bytes.
const tearUnit = 64

// memFile is a file, named or not.
type memFile struct {
	data    []byte // zeros follow it
	size    int64
	changes []dataChange // that were not synced, in order
}

// dataChange is what was before a change.
type dataChange struct {
	offset  int64
	n       int    // bytes that changed
	old     []byte // zeros followed it
	oldSize int64
}

// NewMem returns an FS without files.
func NewMem() *Mem {
	return &Mem{files: make(map[string]*memFile), durable: make(map[string]*memFile)}
}

// Crash returns what may be left of the files if the power fails now, and leaves
// m as it is. Of what was not synced each sector and each name is as it was
// after any of its changes, or before all of them; a sector may be torn between
// two of these. How likely changes are to survive is random, too.
func (m *Mem) Crash(rnd *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	luck := func() float64 { return []float64{0, 0.2, 0.5, 0.8, 0.95, 1}[rnd.IntN(6)] }
	names := make(map[string]*memFile, len(m.durable))
	for name, f := range m.durable {
		names[name] = f
	}
	p := luck()
	for _, c := range m.changed {
		if rnd.Float64() < p {
			c.apply(names)
		}
	}
	left := NewMem()
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted) // or a seed would not say everything
	p = luck()
	for _, name := range sorted {
		f := names[name].crash(rnd, p)
		left.files[name], left.durable[name] = f, f
	}
	return left
}

func (c nameChange) apply(names map[string]*memFile) {
	if c.from != "" && names[c.from] == c.file {
		delete(names, c.from)
	}
	if c.to != "" {
		names[c.to] = c.file
	}
}

// crash returns f as it may be left. p is how likely a change survives.
func (f *memFile) crash(rnd *rand.Rand, p float64) *memFile {
	size := f.size
	if n := len(f.changes); n > 0 && rnd.Float64() >= p {
		size = f.changes[rnd.IntN(n)].oldSize
	}
	end := len(f.data)
	for _, c := range f.changes {
		end = max(end, int(c.offset)+c.n)
	}
	left := make([]byte, end)
	copy(left, f.data)

	// How many of its changes each sector keeps, before tear and behind it.
	type sector struct{ changes, keep, rest, tear int }
	sectors := make([]sector, end/sectorSize+1)
	for _, c := range f.changes {
		for s := int(c.offset) / sectorSize; s*sectorSize < int(c.offset)+c.n; s++ {
			sectors[s].changes++
		}
	}
	choose := func(n int) int {
		if rnd.Float64() < p {
			return n
		}
		return rnd.IntN(n + 1)
	}
	for i := range sectors {
		if s := &sectors[i]; s.changes > 0 {
			s.keep = choose(s.changes)
			s.rest = s.keep
			if rnd.IntN(8) == 0 {
				s.rest, s.tear = choose(s.changes), rnd.IntN(sectorSize/tearUnit)*tearUnit
			}
		}
	}
	for _, c := range slices.Backward(f.changes) {
		for i := int(c.offset) / sectorSize; i*sectorSize < int(c.offset)+c.n; i++ {
			s := &sectors[i]
			begin := i * sectorSize
			if s.changes > s.keep {
				c.undo(left, begin, begin+s.tear)
			}
			if s.changes > s.rest {
				c.undo(left, begin+s.tear, begin+sectorSize)
			}
			s.changes--
		}
	}
	if int64(len(left)) > size {
		left = left[:size]
	}
	return &memFile{data: left, size: size}
}

// undo undoes what c changed of data[from:to].
func (c *dataChange) undo(data []byte, from, to int) {
	from, to = max(from, int(c.offset)), min(to, int(c.offset)+c.n)
	if from >= to {
		return
	}
	clear(data[from:to])
	if at := from - int(c.offset); at < len(c.old) {
		copy(data[from:to], c.old[at:])
	}
}

// change notes that n bytes from offset on are about to change, and the size.
func (f *memFile) change(offset int64, n int) {
	c := dataChange{offset: offset, n: n, oldSize: f.size}
	if at := min(offset, int64(len(f.data))); n > 0 {
		c.old = slices.Clone(f.data[at:min(offset+int64(n), int64(len(f.data)))])
	}
	f.changes = append(f.changes, c)
}

func (f *memFile) truncate(size int64) {
	if size < int64(len(f.data)) {
		f.change(size, len(f.data)-int(size))
		f.data = f.data[:size]
	} else {
		f.change(size, 0)
	}
	f.size = size
}

func (f *memFile) writeAt(p []byte, offset int64) {
	if len(p) == 0 {
		return
	}
	f.change(offset, len(p))
	if at := int64(len(f.data)); offset > at {
		f.data = append(f.data, make([]byte, offset-at)...)
	}
	n := copy(f.data[offset:], p)
	f.data = append(f.data, p[n:]...)
	f.size = max(f.size, int64(len(f.data)))
}

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// Open opens a file for reading.
func (m *Mem) Open(name string) (File, error) { return m.OpenFile(name, os.O_RDONLY, 0) }

// OpenFile opens a file.
func (m *Mem) OpenFile(name string, flag int, _ fs.FileMode) (File, error) {
	name = filepath.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.files[name]
	if again := os.O_CREATE | os.O_TRUNC; f != nil && flag&again == again && flag&os.O_EXCL == 0 {
		m.rename(nameChange{from: name, file: f})
		f = nil // made anew
	}
	switch {
	case f == nil && flag&os.O_CREATE == 0:
		return nil, pathError("open", name, fs.ErrNotExist)
	case f == nil:
		f = new(memFile)
		m.rename(nameChange{to: name, file: f})
	case flag&os.O_EXCL != 0:
		return nil, pathError("open", name, fs.ErrExist)
	}
	if flag&os.O_TRUNC != 0 && f.size > 0 {
		f.truncate(0)
	}
	return &memHandle{m: m, f: f, name: name}, nil
}

// rename changes names.
func (m *Mem) rename(c nameChange) {
	c.apply(m.files)
	m.changed = append(m.changed, c)
}

// Rename gives a file another name.
func (m *Mem) Rename(from, to string) error {
	from, to = filepath.Clean(from), filepath.Clean(to)
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.files[from]
	if f == nil {
		return pathError("rename", from, fs.ErrNotExist)
	}
	m.rename(nameChange{from, to, f})
	return nil
}

// Remove removes a file's name. Who has it open keeps it.
func (m *Mem) Remove(name string) error {
	name = filepath.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.files[name]
	if f == nil {
		return pathError("remove", name, fs.ErrNotExist)
	}
	m.rename(nameChange{from: name, file: f})
	return nil
}

// SyncDir makes the names in a directory survive.
func (m *Mem) SyncDir(dir string) error {
	dir = filepath.Clean(dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := m.changed[:0]
	for _, c := range m.changed {
		if c.from != "" && filepath.Dir(c.from) == dir || c.to != "" && filepath.Dir(c.to) == dir {
			c.apply(m.durable)
		} else {
			kept = append(kept, c)
		}
	}
	m.changed = kept
	return nil
}

// ReadDir returns the files of a directory.
func (m *Mem) ReadDir(dir string) ([]fs.DirEntry, error) {
	dir = filepath.Clean(dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	var entries []fs.DirEntry
	for name, f := range m.files {
		if filepath.Dir(name) == dir {
			entries = append(entries, fs.FileInfoToDirEntry(memInfo{filepath.Base(name), f.size}))
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// Stat describes a file.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	name = filepath.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.files[name]
	if f == nil {
		return nil, pathError("stat", name, fs.ErrNotExist)
	}
	return memInfo{filepath.Base(name), f.size}, nil
}

type memInfo struct {
	name string
	size int64
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return 0o644 }
func (i memInfo) ModTime() time.Time { return time.Time{} }
func (i memInfo) IsDir() bool        { return false }
func (i memInfo) Sys() any           { return nil }

// memHandle is an open file.
type memHandle struct {
	m      *Mem
	f      *memFile
	name   string
	at     int64
	closed bool
}

// do runs fn under the lock, if the file is open.
func (h *memHandle) do(op string, fn func(f *memFile)) error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if h.closed {
		return pathError(op, h.name, fs.ErrClosed)
	}
	fn(h.f)
	return nil
}

func (h *memHandle) ReadAt(p []byte, offset int64) (n int, err error) {
	err = h.do("read", func(f *memFile) {
		n = int(min(max(f.size-offset, 0), int64(len(p))))
		clear(p[:n])
		if offset < int64(len(f.data)) {
			copy(p[:n], f.data[offset:])
		}
	})
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (h *memHandle) WriteAt(p []byte, offset int64) (int, error) {
	if err := h.do("write", func(f *memFile) { f.writeAt(p, offset) }); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (h *memHandle) Write(p []byte) (int, error) {
	err := h.do("write", func(f *memFile) {
		f.writeAt(p, h.at)
		h.at += int64(len(p))
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (h *memHandle) Size() (size int64, err error) {
	err = h.do("stat", func(f *memFile) { size = f.size })
	return size, err
}

func (h *memHandle) Truncate(size int64) error {
	return h.do("truncate", func(f *memFile) { f.truncate(size) })
}

func (h *memHandle) Sync() error { return h.do("sync", func(f *memFile) { f.changes = nil }) }

func (h *memHandle) SyncData() error { return h.Sync() }

func (h *memHandle) Allocate(offset, size int64) error {
	return h.do("allocate", func(f *memFile) {
		f.change(f.size, 0)
		f.size = max(f.size, offset+size)
	})
}

// Map returns ErrNotSupported: the file is read instead.
func (h *memHandle) Map(int64) ([]byte, error) { return nil, ErrNotSupported }

func (h *memHandle) Close() error { return h.do("close", func(*memFile) { h.closed = true }) }
