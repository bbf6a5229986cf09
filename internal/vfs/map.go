package vfs

import (
	"sync"
	"unsafe"
)

// The mapped ranges of this process: Guard turns a fault into an error only if
// it happened in one of them. A fault anywhere else is a bug, and hiding it
// would be worse than the crash.
var mapped struct {
	sync.Mutex
	size map[uintptr]uintptr // by first address
}

func noteMapped(b []byte) {
	mapped.Lock()
	defer mapped.Unlock()
	if mapped.size == nil {
		mapped.size = make(map[uintptr]uintptr)
	}
	mapped.size[addressOf(b)] = uintptr(len(b))
}

func forgetMapped(b []byte) {
	mapped.Lock()
	defer mapped.Unlock()
	delete(mapped.size, addressOf(b))
}

func isMapped(addr uintptr) bool {
	mapped.Lock()
	defer mapped.Unlock()
	for first, size := range mapped.size {
		if addr-first < size {
			return true
		}
	}
	return false
}

func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }
