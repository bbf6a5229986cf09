//go:build !unix

package vfs

import "math"

// MaxOpen returns how many descriptors this process may have: the system sets no
// limit that is worth knowing.
func MaxOpen() int { return math.MaxInt32 }
