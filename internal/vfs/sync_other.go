//go:build !linux

package vfs

import (
	"errors"
	"os"
	"runtime"
	"syscall"
)

// SyncData makes what was written to f survive the loss of power. After an
// error nothing is certain.
func SyncData(f *os.File) error { return f.Sync() }

// SyncDir makes the names in the directory at path survive the loss of power,
// where the system lets a directory be synced.
func SyncDir(path string) error {
	if runtime.GOOS == "windows" || runtime.GOOS == "plan9" || runtime.GOOS == "js" || runtime.GOOS == "wasip1" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}
