//go:build !linux

package vfs

// LockFile has locks on bytes of a file. There are none on this system.
type LockFile struct{}

// OpenLockFile returns ErrNotSupported.
func OpenLockFile(path string) (*LockFile, error) { return nil, ErrNotSupported }

// TryLock returns ErrNotSupported.
func (l *LockFile) TryLock(at int64, shared bool) error { return ErrNotSupported }

// Unlock returns ErrNotSupported.
func (l *LockFile) Unlock(at int64) error { return ErrNotSupported }

// Held returns ErrNotSupported.
func (l *LockFile) Held(first, n int64) (Range, bool, error) { return Range{}, false, ErrNotSupported }

// TryFlock returns ErrNotSupported.
func (l *LockFile) TryFlock(shared bool) error { return ErrNotSupported }

// Named reports false.
func (l *LockFile) Named(path string) bool { return false }

// Close has nothing to give up.
func (l *LockFile) Close() error { return nil }
