package vfs

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// Property: a wait ends when it is woken, when its time is over, or at once if the
// word is another; and a wake says how many it woke.
func TestFutex(t *testing.T) {
	var word uint32 = 7
	if err := FutexWait(&word, 6, time.Minute); !errors.Is(err, ErrChanged) {
		t.Errorf("another value: %v", err)
	}
	if err := FutexWait(&word, 7, 5*time.Millisecond); !errors.Is(err, ErrTimeout) {
		t.Errorf("nobody wakes: %v", err)
	}
	if err := FutexWait(&word, 7, -1); !errors.Is(err, ErrTimeout) {
		t.Errorf("no time: %v", err)
	}
	if n := FutexWake(&word, 1); n != 0 {
		t.Errorf("woke %d of nobody", n)
	}
	const sleepers = 3
	done := make(chan error, sleepers)
	for range sleepers {
		go func() {
			err := ErrChanged
			for errors.Is(err, ErrChanged) { // a signal
				err = FutexWait(&word, 7, 10*time.Second)
			}
			done <- err
		}()
	}
	wake := func(n, want int) {
		t.Helper()
		for woke := 0; woke < want; {
			got := FutexWake(&word, n-woke)
			if woke += got; got == 0 {
				time.Sleep(time.Millisecond) // they are about to fall asleep
			}
		}
		for range want {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	wake(1, 1)
	wake(100, 2)

	// A change before the wake is not slept through.
	for range 100 {
		atomic.StoreUint32(&word, 0)
		go func() {
			atomic.StoreUint32(&word, 1)
			FutexWake(&word, 1)
		}()
		for atomic.LoadUint32(&word) == 0 {
			if err := FutexWait(&word, 0, 10*time.Second); errors.Is(err, ErrTimeout) {
				t.Fatal("slept through a wake")
			}
		}
	}
}
