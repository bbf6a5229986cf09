//go:build unix

package vfs

import (
	"math"

	"golang.org/x/sys/unix"
)

// MaxOpen returns how many descriptors this process may have.
func MaxOpen() int {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil || uint64(r.Cur) > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(r.Cur)
}
