//go:build !unix

package vfs

import "os"

// MapShared returns ErrNotSupported.
func MapShared(f *os.File, size int) ([]byte, error) { return nil, ErrNotSupported }

// MapReadOnly returns ErrNotSupported: read the file instead.
func MapReadOnly(f *os.File, size int64) ([]byte, error) { return nil, ErrNotSupported }

// Unmap has nothing to end.
func Unmap(b []byte) error { return nil }
