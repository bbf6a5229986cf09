package vfs

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	futexWait = 0 // not private: waiters in all processes that map the word
	futexWake = 1
)

// FutexWait sleeps until FutexWake is called for word, by any process that has
// mapped it, but only if the word still holds value when it falls asleep, and
// for no longer than timeout. nil: it was woken. The calling goroutine keeps a
// thread for itself meanwhile.
func FutexWait(word *uint32, value uint32, timeout time.Duration) error {
	if timeout <= 0 {
		return ErrTimeout
	}
	ts := unix.NsecToTimespec(int64(timeout))
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWait,
		uintptr(value), uintptr(unsafe.Pointer(&ts)), 0, 0)
	switch errno {
	case 0:
		return nil
	case unix.ETIMEDOUT:
		return ErrTimeout
	case unix.EAGAIN, unix.EINTR:
		return ErrChanged
	case unix.EFAULT:
		// The word's file was cut off. Touching the word will tell, but
		// whoever waits in a loop must not spin until it does.
		time.Sleep(min(timeout, time.Millisecond))
		return ErrFault
	}
	time.Sleep(min(timeout, time.Millisecond))
	return errno
}

// FutexWake wakes at most n of those who sleep on word and returns how many
// it woke.
func FutexWake(word *uint32, n int) int {
	woke, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWake,
		uintptr(min(n, 1<<30)), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(woke)
}
