package vfs

// LockFile is a file whose bytes can be locked one by one, by record locks that
// belong to this open file and not to the process (see Lock): they end with
// the file, however the process ends, and two LockFiles of one process exclude
// each other. A process that was forked, and did not exec, shares them with its
// parent and keeps them when the parent dies; Go does not fork so.
//
// The methods may be called by several goroutines, also while Close is.

// Range is a range of a file's bytes that is locked. Size 0 means to the end,
// however long the file becomes.
type Range struct {
	First, Size int64
	Shared      bool
}
