package vfs

import "os"

// TryFlock is the lock that goleveldb takes, on the file at path, which is
// created: an flock, on Windows the way in which the file is opened. It does
// not wait: ErrHeld. On Linux it does not exclude a record lock (TryLock).
//
// It takes the path and not an open file because on Windows opening is the
// lock.
func TryFlock(path string, shared bool) (*Lock, error) { return tryFlock(path, shared) }

// FlockFile takes an flock on an open file; it ends with the file. It does not
// wait: ErrHeld. ErrNotSupported: there is none on this system.
func FlockFile(f *os.File, shared bool) error { return flock(f, shared) }
