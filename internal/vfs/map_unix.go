//go:build unix

package vfs

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// MapShared maps the first size bytes of f for reading and writing; what is
// written is seen at once by all who have mapped the file. The file must hold
// those bytes, allocated: see Allocate. f may be closed afterwards.
//
// Memory of a mapping whose file is then truncated, or whose disk fails, faults
// when it is touched: see Guard.
func MapShared(f *os.File, size int) ([]byte, error) {
	return mapFile(f, int64(size), unix.PROT_READ|unix.PROT_WRITE)
}

// MapReadOnly maps the first size bytes of f for reading, as MapShared does.
// ErrNotSupported: read the file instead.
func MapReadOnly(f *os.File, size int64) ([]byte, error) {
	return mapFile(f, size, unix.PROT_READ)
}

func mapFile(f *os.File, size int64, prot int) ([]byte, error) {
	if size <= 0 || int64(int(size)) != size {
		return nil, &os.PathError{Op: "mmap", Path: f.Name(), Err: unix.EINVAL}
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(size), prot, unix.MAP_SHARED)
	runtime.KeepAlive(f)
	if err != nil {
		return nil, &os.PathError{Op: "mmap", Path: f.Name(), Err: err}
	}
	noteMapped(b)
	return b, nil
}

// Unmap ends a mapping. b must be what MapShared or MapReadOnly returned, and
// nobody may touch it any more: its addresses may soon be another file's.
func Unmap(b []byte) error {
	forgetMapped(b)
	return os.NewSyscallError("munmap", unix.Munmap(b))
}
