package vfs

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Allocate makes the file system set aside the bytes of f in [offset,
// offset+size), so that writing them later cannot fail for want of space; those
// that are new are zeros, and the file grows to hold them. A hole that cannot be
// filled kills who writes it through a mapping; an allocation that fails is an
// error. ErrNotSupported: the file system cannot, write zeros instead.
func Allocate(f *os.File, offset, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, offset, size)
		runtime.KeepAlive(f)
		switch {
		case err == nil:
			return nil
		case err == unix.EINTR:
			continue
		case errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS):
			return ErrNotSupported
		}
		return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
	}
}
