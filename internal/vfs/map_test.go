//go:build unix

package vfs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func tempFile(t testing.TB, size int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return f
}

// Property: what one mapping writes, others and reads of the file see; what is
// mapped for reading stays as it is.
func TestMap(t *testing.T) {
	f := tempFile(t, 10000)
	a, err := MapShared(f, 10000)
	if err != nil {
		t.Fatal(err)
	}
	b, err := MapReadOnly(f, 9000)
	if err != nil {
		t.Fatal(err)
	}
	copy(a[8990:], "0123456789xyz")
	read := make([]byte, 3)
	if _, err := f.ReadAt(read, 9000); err != nil || string(read) != "xyz" || len(b) != 9000 || string(b[8990:]) != "0123456789" {
		t.Errorf("%q, %d bytes, %q, %v", read, len(b), b[8990:], err)
	}
	if err := Guard(func() error { b[0] = 1; return nil }); !errors.Is(err, ErrFault) && !raceEnabled {
		t.Errorf("wrote to what is mapped for reading: %v", err)
	}
	for _, m := range [][]byte{a, b} {
		if err := Unmap(m); err != nil {
			t.Error(err)
		}
	}
	for _, size := range []int{0, -1} {
		if _, err := MapShared(f, size); err == nil {
			t.Errorf("mapped %d bytes", size)
		}
	}
}

// Property: memory whose file is cut off is an error for who touches it, and
// nothing for others.
func TestGuardFault(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own accesses are not guarded")
	}
	f := tempFile(t, 1<<16)
	m, err := MapShared(f, 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(4096); err != nil {
		t.Fatal(err)
	}
	to := make([]byte, 1<<16)
	for name, fn := range map[string]func(){
		"read":  func() { to[0] = m[5000] },
		"write": func() { m[5000] = 1 },
		"copy":  func() { copy(to, m) },
	} {
		err := Guard(func() error { fn(); return nil })
		if !errors.Is(err, ErrFault) {
			t.Errorf("%s: %v, want ErrFault", name, err)
		}
	}
	if err := Guard(func() error { m[4095] = 1; return nil }); err != nil {
		t.Error(err)
	}
	if err := Unmap(m); err != nil {
		t.Fatal(err)
	}
	// By now it is a bug.
	defer func() {
		if recover() == nil {
			t.Error("touching what is no longer mapped became an error")
		}
	}()
	_ = Guard(func() error { m[0] = 1; return nil })
}

func TestOpenRegular(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if _, err := OpenRegular(path, false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	f, err := OpenRegular(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := OpenRegular(path, true); !errors.Is(err, os.ErrExist) {
		t.Errorf("made twice: %v", err)
	}
	if err := os.Symlink("file", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link", "."} {
		if _, err := OpenRegular(filepath.Join(dir, name), false); err == nil {
			t.Errorf("opened %s", name)
		}
	}
}
