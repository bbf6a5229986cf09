package vfs

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
)

// ErrFault is returned by Guard when mapped memory could not be read or
// written: somebody truncated the file, or its disk failed.
var ErrFault = errors.New("mapped file is gone from under its mapping")

// Guard runs fn, which touches mapped memory. A fault there, which would end
// the process otherwise, ends fn and becomes an ErrFault. All other panics pass
// through. What fn starts on other goroutines is not guarded, and what it
// allocated, locked or half wrote before the fault stays so.
//
// It costs a few nanoseconds, so guard whole operations, not single accesses.
func Guard(fn func() error) (err error) {
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		if v := recover(); v != nil {
			err = faultError(v)
		}
	}()
	return fn()
}

// faultError returns the error of a panic that is a fault in a mapping, and
// panics again with all others.
func faultError(v any) error {
	if fault, ok := v.(interface {
		runtime.Error
		Addr() uintptr
	}); ok && isMapped(fault.Addr()) {
		return fmt.Errorf("address %#x: %w", fault.Addr(), ErrFault)
	}
	panic(v)
}
