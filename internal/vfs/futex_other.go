//go:build !linux

package vfs

import (
	"sync"
	"sync/atomic"
	"time"
)

// Without futexes the sleepers of this process are kept here, which serves
// memory that no other process maps.
var sleepers struct {
	sync.Mutex
	on map[*uint32][]chan struct{} // oldest first
}

// FutexWait sleeps until FutexWake is called for word in this process, but only
// if the word still holds value when it falls asleep, and for no longer than
// timeout. nil: it was woken.
func FutexWait(word *uint32, value uint32, timeout time.Duration) error {
	if timeout <= 0 {
		return ErrTimeout
	}
	sleepers.Lock()
	if atomic.LoadUint32(word) != value {
		sleepers.Unlock()
		return ErrChanged
	}
	if sleepers.on == nil {
		sleepers.on = make(map[*uint32][]chan struct{})
	}
	woken := make(chan struct{})
	sleepers.on[word] = append(sleepers.on[word], woken)
	sleepers.Unlock()

	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-woken:
		return nil
	case <-timer.C:
	}
	sleepers.Lock()
	defer sleepers.Unlock()
	list := sleepers.on[word]
	for i, other := range list {
		if other == woken {
			setSleepers(word, append(list[:i:i], list[i+1:]...))
			return ErrTimeout
		}
	}
	return nil // woken just now
}

// FutexWake wakes at most n of those who sleep on word and returns how many
// it woke.
func FutexWake(word *uint32, n int) int {
	sleepers.Lock()
	defer sleepers.Unlock()
	list := sleepers.on[word]
	n = min(n, len(list))
	for _, woken := range list[:n] {
		close(woken)
	}
	setSleepers(word, list[n:])
	return n
}

func setSleepers(word *uint32, list []chan struct{}) {
	if len(list) == 0 {
		delete(sleepers.on, word)
	} else {
		sleepers.on[word] = list
	}
}
