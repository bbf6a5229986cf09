package memtable

import (
	"sync/atomic"
	"unsafe"
)

// This file is all that is unsafe here: atomic access to the words of an
// arena, which is a slice of bytes and may be a mapping. Words are in the byte
// order of the machine; an arena does not leave it.
//
// REQUIRES, of all: off is a multiple of the word's size and the word is
// within a. The slice expression only sees to its first byte.

func load32(a []byte, off uint32) uint32 {
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&a[off])))
}

func store32(a []byte, off, v uint32) {
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&a[off])), v)
}

func load64(a []byte, off uint32) uint64 {
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(&a[off])))
}

func store64(a []byte, off uint32, v uint64) {
	atomic.StoreUint64((*uint64)(unsafe.Pointer(&a[off])), v)
}

// aligned reports whether a begins where a 64-bit word may. Mappings and what
// Go allocates do.
func aligned(a []byte) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(a)))%8 == 0
}
