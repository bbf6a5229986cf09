//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package vfs

import "os"

func tryFlock(path string, shared bool) (*Lock, error) { return nil, ErrNotSupported }

func flock(f *os.File, shared bool) error { return ErrNotSupported }
