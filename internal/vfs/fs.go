package vfs

import (
	"io"
	"io/fs"
	"os"
)

// FS are the files of a database that have to survive: logs, tables, manifests,
// CURRENT, and the directory that names them. OS is the one of every day; Mem
// loses power, Fault has a failing disk.
//
// What is written, and the size it gives a file, survives a loss of power after
// Sync or SyncData; that a file has a name, or no longer has it, after SyncDir.
// Any part of it may survive before.
type FS interface {
	Open(name string) (File, error) // for reading
	// OpenFile opens regular files. Symbolic links are followed only to read, and
	// O_CREATE|O_TRUNC makes a file that has no other name.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	ReadDir(dir string) ([]fs.DirEntry, error) // sorted by name
	Stat(name string) (fs.FileInfo, error)
	SyncDir(dir string) error
}

// File is an open file of an FS. Its errors, like those of an FS, are
// *fs.PathErrors around those of the system.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Writer // behind what was written before by Write
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error
	SyncData() error // see SyncData
	// Allocate is Allocate.
	Allocate(offset, size int64) error
	// Map is MapReadOnly: who has called it calls Unmap.
	Map(size int64) ([]byte, error)
}

// ReadFile returns what is in a file.
func ReadFile(fsys FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if err == io.EOF {
		err = nil
	}
	return b[:n], err
}

// Truncate changes the size of a file.
func Truncate(fsys FS, name string, size int64) error {
	f, err := fsys.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = f.Truncate(size)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// OS is the operating system's FS.
var OS FS = osFS{}

type osFS struct{}

// osFile is no larger than a pointer, so that a File of it costs no memory and
// a call of it no more than that of the *os.File.
type osFile struct{ *os.File }

func (osFS) Open(name string) (File, error) { return osFS{}.OpenFile(name, os.O_RDONLY, 0) }

func (osFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := openRegular(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Rename(from, to string) error              { return os.Rename(from, to) }
func (osFS) Remove(name string) error                  { return os.Remove(name) }
func (osFS) ReadDir(dir string) ([]fs.DirEntry, error) { return os.ReadDir(dir) }
func (osFS) Stat(name string) (fs.FileInfo, error)     { return os.Stat(name) }
func (osFS) SyncDir(dir string) error                  { return SyncDir(dir) }

func (f osFile) SyncData() error                   { return SyncData(f.File) }
func (f osFile) Allocate(offset, size int64) error { return Allocate(f.File, offset, size) }
func (f osFile) Map(size int64) ([]byte, error)    { return MapReadOnly(f.File, size) }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
