//go:build !linux

package vfs

// Exiting reports whether the system is ending a process. known: the system tells.
func Exiting(pid int) (exiting, known bool) { return false, false }
