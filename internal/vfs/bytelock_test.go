package vfs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func openLockFile(t *testing.T, path string) *LockFile {
	t.Helper()
	l, err := OpenLockFile(path)
	if errors.Is(err, ErrNotSupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// Property: bytes are locked one by one, by each open file for itself.
func TestByteLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "LOCK")
	a, b := openLockFile(t, path), openLockFile(t, path)
	held := func(l *LockFile, first, n int64, want Range, wantHeld bool) {
		t.Helper()
		if r, is, err := l.Held(first, n); r != want || is != wantHeld || err != nil {
			t.Errorf("bytes %d+%d: %+v, %v, %v; want %+v, %v", first, n, r, is, err, want, wantHeld)
		}
	}
	if err := a.TryLock(5, false); err != nil {
		t.Fatal(err)
	}
	held(a, 5, 1, Range{}, false) // its own
	held(b, 5, 1, Range{First: 5, Size: 1}, true)
	held(b, 0, 100, Range{First: 5, Size: 1}, true)
	held(b, 6, 100, Range{}, false)
	for _, shared := range []bool{true, false} {
		if err := b.TryLock(5, shared); !errors.Is(err, ErrHeld) {
			t.Errorf("%v, want ErrHeld", err)
		}
	}
	if err := b.TryLock(6, false); err != nil {
		t.Error(err)
	}
	if err := a.Unlock(5); err != nil {
		t.Error(err)
	}
	for _, l := range []*LockFile{a, b} {
		if err := l.TryLock(0, true); err != nil {
			t.Error(err)
		}
		if err := l.TryFlock(true); err != nil {
			t.Error(err)
		}
	}
	held(a, 0, 1, Range{First: 0, Size: 1, Shared: true}, true)
	for _, shared := range []bool{false, true} {
		if _, err := TryLock(path, shared); !errors.Is(err, ErrHeld) {
			t.Errorf("the whole file, shared %v: %v", shared, err)
		}
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	held(a, 0, 100, Range{}, false)
	if err := b.TryLock(9, false); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if !a.Named(path) || a.Named(path+"x") {
		t.Error("its name")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if a.Named(path) {
		t.Error("its name, removed")
	}
	a.Close()
	if l, err := TryLock(path, false); err != nil {
		t.Error(err)
	} else {
		l.Release()
	}
}

func TestSharedMemoryWorks(t *testing.T) {
	dir := t.TempDir()
	openLockFile(t, filepath.Join(dir, "LOCK"))
	if ok, why := SharedMemoryWorks(dir); !ok {
		t.Errorf("not in the temporary directory: %s", why)
	}
	if ok, why := SharedMemoryWorks(filepath.Join(dir, "none")); ok || !strings.Contains(why, "none") {
		t.Errorf("no directory: %v, %q", ok, why)
	}
	if ok, why := SharedMemoryWorks("/proc"); ok || why == "" {
		t.Errorf("/proc: %v, %q", ok, why)
	}
}
