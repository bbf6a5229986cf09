//go:build !linux

package vfs

import "os"

// Allocate returns ErrNotSupported: write zeros, or append.
func Allocate(f *os.File, offset, size int64) error { return ErrNotSupported }
