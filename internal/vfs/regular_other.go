//go:build !unix

package vfs

import (
	"io/fs"
	"os"
)

// OpenRegular opens the file at path for reading and writing. create: it must
// not exist.
func OpenRegular(path string, create bool) (*os.File, error) {
	flag := os.O_RDWR
	if create {
		flag |= os.O_CREATE | os.O_EXCL
	}
	return openRegular(path, flag, 0o600)
}

func openRegular(path string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(path, flag, perm)
}

// Linked reports false: the system does not tell in passing.
func Linked(info fs.FileInfo) bool { return false }
