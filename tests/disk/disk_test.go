//go:build linux

// Package disk tests what a full disk does, on a real file system that is full.
package disk

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/dbtest"
)

// small mounts a file system of a few megabytes.
func small(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// Property: on a full disk writes fail with an error that says so, reads go on
// or say why not, nothing acknowledged is lost, and when there is space again
// the same handles write again; for the leader and for the others.
func TestFullDisk(t *testing.T) {
	t.Run("members", func(t *testing.T) { testFullDisk(t, false, false) })
	t.Run("guest of a member", func(t *testing.T) { testFullDisk(t, false, true) })
	t.Run("sockets", func(t *testing.T) { testFullDisk(t, true, true) })
}

// testFullDisk opens two handles, which use sockets or not.
func testFullDisk(t *testing.T, sockets ...bool) {
	root := small(t, "24m")
	dir := dbtest.Checked(t, filepath.Join(root, "db"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ballast := filepath.Join(root, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var handles []*party.DB
	for _, s := range sockets {
		db, err := party.Open(ctx, dir, &party.Options{Compression: party.NoCompression, Sockets: s})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		handles = append(handles, db)
	}
	acked := make(map[string]byte)
	value := func(b byte) []byte {
		v := make([]byte, 1000)
		for i := range v {
			v[i] = b
		}
		return v
	}
	fill := func() (err error) {
		for i := range 100000 {
			db, key := handles[i%2], fmt.Sprintf("%06d", len(acked))
			if err = db.Put(ctx, []byte(key), value(byte(i))); err != nil {
				return err
			}
			acked[key] = byte(i)
		}
		return nil
	}
	err := fill()
	if err == nil || ctx.Err() != nil {
		t.Fatalf("the disk did not fill up: %v", err)
	}
	t.Logf("full after %d puts: %v", len(acked), err)
	if !strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
		t.Errorf("got %v, want an error that says what is wrong", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for i, db := range handles {
		for db.Put(ctx, []byte("again"), nil) != nil {
			if ctx.Err() != nil {
				t.Fatalf("handle %d does not write again: %v", i, db.Put(context.Background(), []byte("again"), nil))
			}
			time.Sleep(time.Millisecond)
		}
	}
	for _, db := range handles {
		for key, b := range acked {
			v, err := db.Get(ctx, []byte(key))
			if err != nil || string(v) != string(value(b)) {
				t.Fatalf("acknowledged %s: %d bytes, %v", key, len(v), err)
			}
		}
	}
}

// Property: members in several processes fill a disk. None is killed by it;
// what each was told is written is there, and the same handles write again when
// there is space.
func TestFullDiskMembers(t *testing.T) {
	root := small(t, "32m")
	dir, ballast := dbtest.Checked(t, filepath.Join(root, "db")), filepath.Join(root, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 10<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	const members = 3
	var all []*exec.Cmd
	for i := range members {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestFullDiskMember$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("PARTY_FULL_DISK=%s", dir), fmt.Sprintf("PARTY_MEMBER=%d", i))
		cmd.Stderr = os.Stderr
		out, err := os.OpenFile(filepath.Join(t.TempDir(), "out"), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout = out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, cmd)
	}
	full := func(i int) string { return filepath.Join(filepath.Dir(root), fmt.Sprint("full", i)) }
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		n := 0
		for i := range members {
			if _, err := os.Stat(full(i)); err == nil {
				n++
			}
		}
		if n == members {
			break
		}
		if time.Since(start) > 40*time.Second {
			t.Fatalf("the disk is full for %d of %d", n, members)
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for i, cmd := range all {
		if err := cmd.Wait(); err != nil {
			out, _ := os.ReadFile(cmd.Stdout.(*os.File).Name())
			t.Errorf("member %d: %v\n%s", i, err, out)
		}
	}
}

// TestFullDiskMember is one of the processes of TestFullDiskMembers.
func TestFullDiskMember(t *testing.T) {
	dir, me := os.Getenv("PARTY_FULL_DISK"), os.Getenv("PARTY_MEMBER")
	if dir == "" {
		t.Skip("it is a part of TestFullDiskMembers")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 80*time.Second)
	defer cancel()
	db, err := party.Open(ctx, dir, &party.Options{Compression: party.NoCompression})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	value := []byte(strings.Repeat(me, 1000))
	n := 0
	key := func(i int) []byte { return fmt.Appendf(nil, "%s/%06d", me, i) }
	for err == nil {
		if err = db.Put(ctx, key(n), value); err == nil {
			n++
		}
	}
	if !strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
		t.Fatalf("after %d puts: %v, want an error that says what is wrong", n, err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(filepath.Dir(dir)), "full"+me), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for db.Put(ctx, []byte(me+"/again"), value) != nil {
		if ctx.Err() != nil {
			t.Fatalf("it does not write again: %v", db.Put(context.Background(), []byte(me+"/again"), value))
		}
		time.Sleep(time.Millisecond)
	}
	for i := range n {
		if v, err := db.Get(ctx, key(i)); err != nil || string(v) != string(value) {
			t.Fatalf("acknowledged %s: %d bytes, %v", key(i), len(v), err)
		}
	}
}
