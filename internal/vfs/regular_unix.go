//go:build unix

package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// OpenRegular opens the file at path for reading and writing, but no link, and
// nothing that is not a regular file. create: it must not exist, and is made
// for its owner alone.
func OpenRegular(path string, create bool) (*os.File, error) {
	flag := os.O_RDWR | unix.O_NOFOLLOW | unix.O_NONBLOCK // a pipe would make open wait
	if create {
		flag |= os.O_CREATE | os.O_EXCL
	}
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, &os.PathError{Op: "open", Path: path, Err: errors.Join(err, errors.New("no regular file"))}
	}
	return f, nil
}
