//go:build !failpoints || !unix

package failpoint

import "io"

// Enabled says whether the build has failpoints.
const Enabled = false

// Hit marks a step.
func Hit(name string) {}

// Torn marks the step of writing b to w at off: half of it is written.
func Torn(name string, w io.WriterAt, b []byte, off int64) {}

// Hits returns how often the process has come to each step, if it is counted.
func Hits() map[string]int { return nil }

// Breaks reports whether the process shall do wrong what has that name.
func Breaks(name string) bool { return false }

// Dawdle pauses now and then if the process does wrong what has that name, so
// that it shows.
func Dawdle(name string) {}

// Limit returns limit. A build with failpoints is given the lower one, so that
// it is reached.
func Limit(limit, lower int64) int64 { return limit }
