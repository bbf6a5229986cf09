package vfs

import "os"

// LevelDB's LOCK file is locked in two ways that do not see each other on
// Linux: C++ LevelDB, and so every Node binding, takes a POSIX record lock,
// goleveldb an flock. Whoever means to keep both out holds both.
//
// Lock is the record lock. The engine's storage takes the flock, and on the
// systems where the two kinds exclude each other (the BSDs, macOS), or where
// opening the file is the lock (Windows), that one is enough and Lock holds
// nothing.
//
// The record lock is an open-file-description lock: unlike a POSIX lock it is
// not lost when some other descriptor of the file is closed by this process,
// and a second handle in the same process conflicts with it as any other would.

// Lock is a held lock.
type Lock struct{ f *os.File }

// Release gives the lock up.
func (l *Lock) Release() error {
	if l == nil || l.f == nil {
		return nil
	}
	return l.f.Close()
}
