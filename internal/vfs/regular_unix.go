//go:build unix

package vfs

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// OpenRegular opens the file at path for reading and writing, but no link, and
// nothing that is not a regular file. create: it must not exist, and is made
// for its owner alone.
func OpenRegular(path string, create bool) (*os.File, error) {
	flag := os.O_RDWR
	if create {
		flag |= os.O_CREATE | os.O_EXCL
	}
	return openRegular(path, flag, 0o600)
}

// openRegular is os.OpenFile for names in a database's directory, which others
// may be able to plant there. A symbolic link is followed only to read: what is
// written, or made, is in the directory itself. A pipe does not make it wait.
// O_CREATE|O_TRUNC makes a file anew: what had the name loses it, and is not
// written to, for it may have other names.
func openRegular(path string, flag int, perm fs.FileMode) (*os.File, error) {
	if again := os.O_CREATE | os.O_TRUNC; flag&again == again {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		flag = flag&^os.O_TRUNC | os.O_EXCL
	}
	flag |= unix.O_NONBLOCK
	if flag&(os.O_WRONLY|os.O_RDWR|os.O_CREATE) != 0 {
		flag |= unix.O_NOFOLLOW
	}
	f, err := os.OpenFile(path, flag, perm)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EMLINK) && flag&unix.O_NOFOLLOW != 0 { // EMLINK: FreeBSD
		return nil, &os.PathError{Op: "open", Path: path, Err: ErrIrregular}
	}
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, &os.PathError{Op: "open", Path: path, Err: errors.Join(err, ErrIrregular)}
	}
	return f, nil
}

// Linked reports whether a file has more names than one: who writes to it would
// change the others, too.
func Linked(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode().IsRegular() && st.Nlink > 1
}
