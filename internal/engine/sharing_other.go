//go:build !windows

package engine

func isSharingViolation(err error) bool { return false }
