//go:build !linux

package vfs

// SharedMemoryWorks reports whether processes can share memory through mapped
// files in dir, and if not, why.
func SharedMemoryWorks(dir string) (ok bool, why string) { return false, ErrNotSupported.Error() }
