package vfs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestResolve(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(dir, "link")); err != nil {
		t.Skip(err)
	}
	for name, want := range map[string]string{
		"real": "real", "link": "real", "link/none/of/it": "real/none/of/it", "real/../link": "real",
	} {
		got, err := Resolve(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil || got != filepath.Join(dir, filepath.FromSlash(want)) {
			t.Errorf("%s: %s, %v; want %s", name, got, err, want)
		}
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "LOCK")
	a, err := TryLock(path, false)
	if err != nil {
		t.Fatal(err)
	}
	if a.f == nil {
		t.Skip("no record lock on this system")
	}
	for _, shared := range []bool{false, true} {
		if _, err := TryLock(path, shared); !errors.Is(err, ErrHeld) {
			t.Errorf("second lock, shared %v: %v, want ErrHeld", shared, err)
		}
	}
	// Closing another descriptor of the file does not lose the lock.
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := TryLock(path, false); !errors.Is(err, ErrHeld) {
		t.Errorf("after a close: %v, want ErrHeld", err)
	}
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
	b, err := TryLock(path, true)
	if err != nil {
		t.Fatal(err)
	}
	c, err := TryLock(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := TryLock(path, false); !errors.Is(err, ErrHeld) {
		t.Errorf("beside shared locks: %v, want ErrHeld", err)
	}
	b.Release()
	c.Release()
}

// echo checks that a connection to dir's socket arrives.
func echo(t *testing.T, l *Listener, dir string) {
	t.Helper()
	go func() {
		c, p, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		if p.PID != 0 && p.PID != os.Getpid() {
			t.Errorf("peer %+v", p)
		}
		c.Write([]byte("x"))
		c.Close()
	}()
	c, _, err := Dial(dir, "s")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := c.Read(make([]byte, 2)); n != 1 {
		t.Errorf("read %d, %v", n, err)
	}
}

func TestSocket(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := Dial(dir, "s"); !NobodyListens(err) {
		t.Errorf("nothing there: %v", err)
	}
	// What a dead leader left, or somebody put there, is replaced; a link is
	// not followed.
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("data"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, "s.sock")); err != nil {
		t.Skip(err)
	}
	l, err := Listen(dir, "s")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(victim); err != nil || string(b) != "data" {
		t.Errorf("a link's target: %q, %v", b, err)
	}
	info, err := os.Lstat(filepath.Join(dir, "s.sock"))
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Errorf("socket's mode %v, %v", info.Mode(), err)
	}
	echo(t, l, dir)
	if !l.Bound() {
		t.Error("not bound")
	}
	// The next one takes the name over, and the first leaves it alone.
	next, err := Listen(dir, "s")
	if err != nil {
		t.Fatal(err)
	}
	if l.Bound() {
		t.Error("still bound")
	}
	l.Close()
	echo(t, next, dir)
	next.Close()
	if _, err := os.Lstat(filepath.Join(dir, "s.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestSocketInLongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 60))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if SocketPathFits(dir, "s") {
		t.Fatal("it fits")
	}
	l, err := Listen(dir, "s")
	if err != nil {
		t.Fatal(err)
	}
	echo(t, l, dir)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Dial(dir, "s"); !NobodyListens(err) {
		t.Errorf("after close: %v", err)
	}
}
