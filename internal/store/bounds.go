package store

import "bytes"

// Bounds is a half-open range of keys. A nil side is unbounded; an empty,
// non-nil Upper admits no key.
type Bounds struct {
	Lower, Upper []byte // Lower <= key < Upper
}

// After returns the smallest key greater than key.
func After(key []byte) []byte {
	next := make([]byte, len(key)+1)
	copy(next, key)
	return next
}

// Range returns the bounds of the four range options that level databases
// know. A nil option is absent. Where two options give the same side, the
// narrower one counts.
func Range(gt, gte, lt, lte []byte) Bounds {
	var b Bounds
	if gte != nil {
		b.Lower = gte
	}
	if gt != nil {
		if low := After(gt); b.Lower == nil || bytes.Compare(low, b.Lower) > 0 {
			b.Lower = low
		}
	}
	if lt != nil {
		b.Upper = lt
	}
	if lte != nil {
		if up := After(lte); b.Upper == nil || bytes.Compare(up, b.Upper) < 0 {
			b.Upper = up
		}
	}
	return b
}

// Empty reports whether no key can be within b.
func (b Bounds) Empty() bool {
	return b.Upper != nil && bytes.Compare(b.Lower, b.Upper) >= 0
}

// Contains reports whether key is within b.
func (b Bounds) Contains(key []byte) bool {
	return bytes.Compare(key, b.Lower) >= 0 && (b.Upper == nil || bytes.Compare(key, b.Upper) < 0)
}
