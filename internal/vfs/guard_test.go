package vfs

import (
	"errors"
	"testing"
)

func BenchmarkGuard(b *testing.B) {
	n := 0
	for b.Loop() {
		_ = Guard(func() error { n++; return nil })
	}
}

// Property: only faults in mappings become errors; other panics pass through.
func TestGuardPassesPanics(t *testing.T) {
	panics := func(fn func() error) (v any) {
		defer func() { v = recover() }()
		_ = Guard(fn)
		return nil
	}
	boom := errors.New("boom")
	if v := panics(func() error { panic(boom) }); v != boom {
		t.Errorf("panicked with %v", v)
	}
	var nothing *int
	if v := panics(func() error { *nothing = 1; return nil }); v == nil {
		t.Error("a nil pointer became an error")
	}
	if err := Guard(func() error { return boom }); err != boom {
		t.Errorf("returned %v", err)
	}
}
