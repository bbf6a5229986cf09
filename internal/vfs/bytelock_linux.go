package vfs

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// LockFile has locks on bytes of a file.
type LockFile struct {
	f   *os.File
	raw syscall.RawConn
}

// OpenLockFile opens the file at path, which it creates.
func OpenLockFile(path string) (*LockFile, error) {
	f, err := openRegular(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &LockFile{f, raw}, nil
}

// TryLock locks one byte, which need not exist. It does not wait: ErrHeld.
// A lock that this LockFile has on the byte is changed to the kind asked for.
func (l *LockFile) TryLock(at int64, shared bool) error {
	kind := int16(unix.F_WRLCK)
	if shared {
		kind = unix.F_RDLCK
	}
	err := l.fcntl(unix.F_OFD_SETLK, &unix.Flock_t{Type: kind, Whence: io.SeekStart, Start: at, Len: 1})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrHeld
	}
	return err
}

// Unlock gives the lock on one byte up.
func (l *LockFile) Unlock(at int64) error {
	return l.fcntl(unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_UNLCK, Whence: io.SeekStart, Start: at, Len: 1})
}

// Held reports whether anybody but this LockFile holds a lock on any of the n
// bytes from first on, and one such lock.
func (l *LockFile) Held(first, n int64) (r Range, held bool, err error) {
	lk := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: first, Len: n}
	if err := l.fcntl(unix.F_OFD_GETLK, &lk); err != nil || lk.Type == unix.F_UNLCK {
		return Range{}, false, err
	}
	return Range{First: lk.Start, Size: lk.Len, Shared: lk.Type == unix.F_RDLCK}, true, nil
}

// TryFlock takes an flock on the file besides. It does not wait: ErrHeld.
func (l *LockFile) TryFlock(shared bool) error { return flock(l.f, shared) }

// Named reports whether path still leads to this file.
func (l *LockFile) Named(path string) bool {
	mine, err := l.f.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(path)
	return err == nil && os.SameFile(mine, now)
}

// Close gives all locks up.
func (l *LockFile) Close() error {
	// Closing alone would leave them to a child that is just being forked, until
	// it execs.
	_ = l.fcntl(unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_UNLCK, Whence: io.SeekStart})
	_ = l.raw.Control(func(fd uintptr) { _ = unix.Flock(int(fd), unix.LOCK_UN) })
	return l.f.Close()
}

func (l *LockFile) fcntl(cmd int, lk *unix.Flock_t) error {
	var err error
	if ctlErr := l.raw.Control(func(fd uintptr) {
		for {
			if err = unix.FcntlFlock(fd, cmd, lk); err != unix.EINTR {
				return
			}
		}
	}); ctlErr != nil {
		return &os.PathError{Op: "lock bytes", Path: l.f.Name(), Err: os.ErrClosed}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return &os.PathError{Op: "lock bytes", Path: l.f.Name(), Err: ErrNotSupported}
	}
	return &os.PathError{Op: "lock bytes", Path: l.f.Name(), Err: err}
}
