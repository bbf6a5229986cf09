//go:build !linux

package vfs

// TryLock holds nothing: see Lock.
func TryLock(path string, shared bool) (*Lock, error) { return &Lock{}, nil }

// TryLockDir holds nothing.
func TryLockDir(dir string) (*Lock, error) { return &Lock{}, nil }

// Holder returns the id of the process that holds the lock on the file at
// path, 0 if the system does not tell.
func Holder(path string) int { return 0 }

// ProgramOf returns the name of a running process, "" if the system does not
// tell.
func ProgramOf(pid int) string { return "" }
