package vfs

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Op is a kind of operation of an FS or a File.
type Op uint8

// The operations that can fail. Closing cannot.
const (
	OpOpen   Op = iota // of a file that is there
	OpCreate           // an open that may make the file
	OpRename
	OpRemove
	OpReadDir
	OpStat // of names and of open files
	OpSyncDir
	OpRead
	OpWrite
	OpTruncate
	OpSync // both kinds
	OpAllocate
	OpMap
)

var opNames = [...]string{"open", "create", "rename", "remove", "readdir", "stat", "syncdir", "read", "write", "truncate", "sync", "allocate", "mmap"}

func (o Op) String() string { return opNames[o] }

// Rule says how an operation on a file fails; nil: it does not. It may wait
// first, as a slow disk does. It is called by many goroutines.
type Rule func(op Op, name string) error

// Short is the error of a Rule that lets a write fail behind its first N bytes,
// with Err.
type Short struct {
	N   int
	Err error
}

func (s *Short) Error() string { return s.Err.Error() }
func (s *Short) Unwrap() error { return s.Err }

// Fault is an FS whose operations fail by a rule. For tests.
type Fault struct {
	fs   FS
	rule atomic.Pointer[Rule]
}

// NewFault returns an FS over fsys, with no rule yet.
func NewFault(fsys FS) *Fault { return &Fault{fs: fsys} }

// Set changes the rule. nil: nothing fails.
func (f *Fault) Set(r Rule) {
	if r == nil {
		f.rule.Store(nil)
	} else {
		f.rule.Store(&r)
	}
}

// Nth lets the n-th operation, counted from 1, among ops fail with err, and if
// sticky all that follow, too. No ops are all. hit reports whether it happened.
func Nth(n int64, sticky bool, err error, ops ...Op) (_ Rule, hit func() bool) {
	var count atomic.Int64
	return func(op Op, _ string) error {
		if !among(op, ops) {
			return nil
		}
		if at := count.Add(1); at == n || sticky && at > n {
			return err
		}
		return nil
	}, func() bool { return count.Load() >= n }
}

// Chance lets each operation among ops fail with err, with probability p.
func Chance(rnd *rand.Rand, p float64, err error, ops ...Op) Rule {
	var mu sync.Mutex
	return func(op Op, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if among(op, ops) && rnd.Float64() < p {
			return err
		}
		return nil
	}
}

// Slow lets each operation among ops take up to d longer.
func Slow(rnd *rand.Rand, d time.Duration, ops ...Op) Rule {
	var mu sync.Mutex
	return func(op Op, _ string) error {
		if among(op, ops) {
			mu.Lock()
			pause := time.Duration(rnd.Int64N(int64(d) + 1))
			mu.Unlock()
			time.Sleep(pause)
		}
		return nil
	}
}

func among(op Op, ops []Op) bool { return len(ops) == 0 || slices.Contains(ops, op) }

func (f *Fault) fails(op Op, name string) error {
	if r := f.rule.Load(); r != nil {
		if err := (*r)(op, name); err != nil {
			return pathError(op.String(), name, err)
		}
	}
	return nil
}

// Open opens a file for reading.
func (f *Fault) Open(name string) (File, error) { return f.OpenFile(name, os.O_RDONLY, 0) }

// OpenFile opens a file.
func (f *Fault) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	op := OpOpen
	if flag&os.O_CREATE != 0 {
		op = OpCreate
	}
	if err := f.fails(op, name); err != nil {
		return nil, err
	}
	file, err := f.fs.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &faultFile{file, f, name}, nil
}

// Rename gives a file another name.
func (f *Fault) Rename(from, to string) error {
	if err := f.fails(OpRename, from); err != nil {
		return err
	}
	return f.fs.Rename(from, to)
}

// Remove removes a file's name.
func (f *Fault) Remove(name string) error {
	if err := f.fails(OpRemove, name); err != nil {
		return err
	}
	return f.fs.Remove(name)
}

// ReadDir returns the files of a directory.
func (f *Fault) ReadDir(dir string) ([]fs.DirEntry, error) {
	if err := f.fails(OpReadDir, dir); err != nil {
		return nil, err
	}
	return f.fs.ReadDir(dir)
}

// Stat describes a file.
func (f *Fault) Stat(name string) (fs.FileInfo, error) {
	if err := f.fails(OpStat, name); err != nil {
		return nil, err
	}
	return f.fs.Stat(name)
}

// SyncDir makes the names in a directory survive.
func (f *Fault) SyncDir(dir string) error {
	if err := f.fails(OpSyncDir, dir); err != nil {
		return err
	}
	return f.fs.SyncDir(dir)
}

type faultFile struct {
	file File
	fs   *Fault
	name string
}

func (f *faultFile) ReadAt(p []byte, offset int64) (int, error) {
	if err := f.fs.fails(OpRead, f.name); err != nil {
		return 0, err
	}
	return f.file.ReadAt(p, offset)
}

// write fails, or part of it does.
func (f *faultFile) write(p []byte, write func(p []byte) (int, error)) (int, error) {
	err := f.fs.fails(OpWrite, f.name)
	if err == nil {
		return write(p)
	}
	var short *Short
	if errors.As(err, &short) && len(p) > 0 {
		n, e := write(p[:min(short.N, len(p)-1)])
		return n, errors.Join(err, e)
	}
	return 0, err
}

func (f *faultFile) WriteAt(p []byte, offset int64) (int, error) {
	return f.write(p, func(p []byte) (int, error) { return f.file.WriteAt(p, offset) })
}

func (f *faultFile) Write(p []byte) (int, error) { return f.write(p, f.file.Write) }

func (f *faultFile) Size() (int64, error) {
	if err := f.fs.fails(OpStat, f.name); err != nil {
		return 0, err
	}
	return f.file.Size()
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.fs.fails(OpTruncate, f.name); err != nil {
		return err
	}
	return f.file.Truncate(size)
}

func (f *faultFile) Sync() error {
	if err := f.fs.fails(OpSync, f.name); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f *faultFile) SyncData() error {
	if err := f.fs.fails(OpSync, f.name); err != nil {
		return err
	}
	return f.file.SyncData()
}

func (f *faultFile) Allocate(offset, size int64) error {
	if err := f.fs.fails(OpAllocate, f.name); err != nil {
		return err
	}
	return f.file.Allocate(offset, size)
}

func (f *faultFile) Map(size int64) ([]byte, error) {
	if err := f.fs.fails(OpMap, f.name); err != nil {
		return nil, err
	}
	return f.file.Map(size)
}

func (f *faultFile) Close() error { return f.file.Close() }
