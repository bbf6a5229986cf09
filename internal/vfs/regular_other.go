//go:build !unix

package vfs

import "os"

// OpenRegular opens the file at path for reading and writing. create: it must
// not exist.
func OpenRegular(path string, create bool) (*os.File, error) {
	flag := os.O_RDWR
	if create {
		flag |= os.O_CREATE | os.O_EXCL
	}
	return os.OpenFile(path, flag, 0o600)
}
