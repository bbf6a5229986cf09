package vfs

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestAllocateAndSync(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write([]byte("some")); err != nil {
		t.Fatal(err)
	}
	switch err := Allocate(f, 0, 1<<20); {
	case errors.Is(err, ErrNotSupported):
	case err != nil:
		t.Error(err)
	default:
		b, err := os.ReadFile(f.Name())
		if err != nil || len(b) != 1<<20 || string(b[:6]) != "some\x00\x00" {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	}
	if err := SyncData(f); err != nil {
		t.Error(err)
	}
	if err := SyncDir(dir); err != nil {
		t.Error(err)
	}
	f.Close()
	if SyncData(f) == nil || Allocate(f, 0, 1) == nil {
		t.Error("a closed file was synced or allocated")
	}
	if runtime.GOOS == "linux" {
		if err := SyncDir(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	}
}

// Property: the lock of goleveldb's kind excludes as it should, and not the record
// lock's kind, where there are two.
func TestFlock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "LOCK")
	a, err := TryFlock(path, false)
	if errors.Is(err, ErrNotSupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, shared := range []bool{false, true} {
		if _, err := TryFlock(path, shared); !errors.Is(err, ErrHeld) {
			t.Errorf("second lock, shared %v: %v, want ErrHeld", shared, err)
		}
	}
	if l, err := TryLock(path, false); err != nil && runtime.GOOS != "windows" {
		t.Errorf("record lock: %v", err)
	} else {
		l.Release()
	}
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
	b, err := TryFlock(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	c, err := TryFlock(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	if _, err := TryFlock(path, false); !errors.Is(err, ErrHeld) {
		t.Errorf("beside shared locks: %v, want ErrHeld", err)
	}
}
