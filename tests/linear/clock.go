//go:build unix

package linear

import "golang.org/x/sys/unix"

// now is the time on the clock that all processes of the machine share, and
// which goes on while they are stopped.
func now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}
