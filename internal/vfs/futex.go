package vfs

import "errors"

// What FutexWait returns when it was not woken.
var (
	// ErrTimeout: the time passed.
	ErrTimeout = errors.New("wait timed out")
	// ErrChanged: the word did not hold the value, or the wait was interrupted.
	ErrChanged = errors.New("word has changed")
)
