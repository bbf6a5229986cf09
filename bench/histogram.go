package main

import (
	"math"
	"slices"
	"time"
)

// histogram counts durations in buckets whose width grows with the duration:
// 32 to each power of two, so that a percentile is right within 3%. Node's
// workers fill it by the same rule (node/measure.js). The zero histogram is
// empty.
type histogram []int64

const bucketsPerDouble = 32

func bucketOf(d time.Duration) int {
	if d < 1 {
		d = 1
	}
	return int(math.Log2(float64(d)) * bucketsPerDouble)
}

// add counts d.
func (h *histogram) add(d time.Duration) {
	b := bucketOf(d)
	if b >= len(*h) {
		*h = append(*h, make([]int64, b+1-len(*h))...)
	}
	(*h)[b]++
}

// merge adds the counts of o.
func (h *histogram) merge(o histogram) {
	if len(o) > len(*h) {
		*h = append(*h, make([]int64, len(o)-len(*h))...)
	}
	for i, n := range o {
		(*h)[i] += n
	}
}

// percentile returns the middle of the bucket that p, 0 to 100, falls into.
func (h histogram) percentile(p float64) time.Duration {
	var total int64
	for _, n := range h {
		total += n
	}
	if total == 0 {
		return 0
	}
	want := int64(math.Ceil(float64(total) * p / 100))
	for i, n := range h {
		if want -= n; want <= 0 && n > 0 {
			return time.Duration(math.Exp2((float64(i) + 0.5) / bucketsPerDouble))
		}
	}
	return 0
}

// median of at least one value; values is sorted.
func median[T ~int64 | ~float64](values []T) T {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// quantile returns the q-th part, 0 to 1, of values that are sorted.
func quantile(values []time.Duration, q float64) time.Duration {
	return values[min(int(q*float64(len(values))), len(values)-1)]
}
