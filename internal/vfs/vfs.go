// Package vfs is the operating system as party needs it: locks on LevelDB's
// LOCK file and local sockets whose peers are known. It is the only package of
// the library that makes system calls itself.
package vfs

import (
	"errors"
	"os"
	"path/filepath"
)

// ErrHeld is returned by TryLock when somebody else holds the lock.
var ErrHeld = errors.New("lock is held")

// ErrIrregular is returned where a file is to be opened and a symbolic link, a
// pipe, a directory or the like has its name.
var ErrIrregular = errors.New("not a regular file, or a symbolic link to write through")

// Resolve returns the one name under which all processes know dir: absolute,
// links resolved as far as the path exists.
func Resolve(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(abs)
	if errors.Is(err, os.ErrNotExist) {
		// The directory is still to be made: resolve its parent.
		parent := filepath.Dir(abs)
		if parent == abs {
			return abs, nil
		}
		if parent, err = Resolve(parent); err != nil {
			return "", err
		}
		return filepath.Join(parent, filepath.Base(abs)), nil
	}
	return real, err
}
