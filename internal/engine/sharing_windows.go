package engine

import (
	"errors"

	"golang.org/x/sys/windows"
)

// isSharingViolation reports whether another process has LOCK open, which on
// Windows is the lock.
func isSharingViolation(err error) bool {
	return errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_LOCK_VIOLATION)
}
