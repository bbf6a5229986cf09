package metamorphic

import (
	"slices"
	"time"
)

// shrink returns a list that still fails, with as little in it as could be found
// within the time. fails carries a list out.
func shrink(ops []op, limit time.Duration, fails func([]op) bool) []op {
	deadline := time.Now().Add(limit)
	try := func(candidate []op) bool {
		if time.Now().After(deadline) || !fails(candidate) {
			return false
		}
		ops = candidate
		return true
	}
	for again := true; again && time.Now().Before(deadline); {
		again = false
		// Without parts of it: halves, quarters, down to single operations.
		for size := max(len(ops)/2, 1); size > 0; size /= 2 {
			for at := len(ops) - size; at >= 0; at -= size {
				if at+size <= len(ops) && try(slices.Delete(slices.Clone(ops), at, at+size)) {
					again = true
				}
			}
		}
		// With operations that do less.
		for i := range ops {
			for smaller := true; smaller; {
				smaller = false
				for _, o := range ops[i].simpler() {
					candidate := slices.Clone(ops)
					if candidate[i] = o; try(candidate) {
						smaller, again = true, true
						break
					}
				}
			}
		}
	}
	return ops
}
