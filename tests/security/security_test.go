//go:build linux

// Package security tests that other users stay out.
package security

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/partytest"
	"github.com/levelparty/party/internal/vfs"
)

const nobody = 65534

func TestMain(m *testing.M) {
	partytest.Main(map[string]partytest.Helper{"open": try, "dial": dial, "lead": lead, "host": host, "work": work})
	os.Exit(m.Run())
}

// try opens the database and reports the error.
func try(p *partytest.Self) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	db, err := party.Open(ctx, p.Args[0], &party.Options{MustExist: true})
	if err == nil {
		_, err = db.Get(ctx, []byte("secret"))
		db.Close()
	}
	p.Report(outcome{fmt.Sprint(err), errors.Is(err, fs.ErrPermission), err == nil})
	return nil
}

// dial connects to a socket, whatever party would do before, and reports
// whether anything comes back.
func dial(p *partytest.Self) error {
	conn, _, err := vfs.Dial(p.Args[0], "party")
	if err == nil {
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		conn.Write([]byte{0x04, 0x7f, 0x08, 0x01, 0x00})
		_, err = conn.Read(make([]byte, 1))
	}
	p.Report(outcome{fmt.Sprint(err), errors.Is(err, fs.ErrPermission), err == nil})
	return nil
}

type outcome struct {
	Err        string
	Permission bool
	OK         bool
}

// as runs a helper as another user and returns its report.
func as(t *testing.T, uid uint32, helper string, args ...string) (o outcome) {
	t.Helper()
	start(t, uid, helper, args...).Expect(&o)
	return o
}

func start(t *testing.T, uid uint32, helper string, args ...string) *partytest.Process {
	t.Helper()
	// The test binary lies where only its user may look.
	bin := filepath.Join(open755(t), "helper")
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bin, b, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, args...)
	cmd.Env = append(os.Environ(), "PARTY_TEST_HELPER="+helper)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	cmd.Dir = "/"
	return partytest.Run(t, cmd)
}

// open755 makes a directory that all may enter.
func open755(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "party-security-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
}

func TestOtherUserStaysOut(t *testing.T) {
	needRoot(t)
	dir := filepath.Join(open755(t), "db")
	db, err := party.Open(context.Background(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Put(context.Background(), []byte("secret"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	o := as(t, nobody, "open", dir)
	if o.OK || !o.Permission {
		t.Errorf("another user's open: %+v, want a permission error", o)
	}
	// Not even if somebody has opened the modes.
	for _, name := range []string{"party.sock", "rave-level.sock", "level-party.sock", "LOCK"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if o := as(t, nobody, "dial", dir); o.OK {
		t.Errorf("another user got an answer: %+v", o)
	}
	// The same user, root, gets in.
	if o := as(t, 0, "open", dir); !o.OK {
		t.Errorf("the same user: %+v", o)
	}
}

// Property: a socket that some other user has put there is not talked to; but
// root may visit everybody.
func TestSocketOfAnotherUser(t *testing.T) {
	needRoot(t)
	dir := open755(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	leader := start(t, nobody, "lead", dir)
	var o outcome
	if leader.Expect(&o); !o.OK {
		t.Fatal(o)
	}
	if err := os.Chmod(filepath.Join(dir, "party.sock"), 0o666); err != nil {
		t.Fatal(err)
	}
	if o := as(t, nobody-1, "dial", dir); o.OK || !o.Permission {
		t.Errorf("a third user: %+v, want a permission error", o)
	}
	if o := as(t, nobody, "open", dir); !o.OK && !strings.Contains(o.Err, "not found") {
		t.Errorf("the same user: %+v", o)
	}
	if o := as(t, 0, "open", dir); !o.OK && !strings.Contains(o.Err, "not found") {
		t.Errorf("root: %+v", o)
	}
}

// lead opens the database and stays.
func lead(p *partytest.Self) error {
	db, err := party.Open(context.Background(), p.Args[0], nil)
	if err != nil {
		return err
	}
	defer db.Close()
	for db.Role() != party.Leader {
		time.Sleep(time.Millisecond)
	}
	p.Report(outcome{OK: true})
	var order string
	return p.Order(&order)
}

// Property: what is created is not open to others beyond the umask, and what
// lets others in, not at all.
func TestModes(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "db")
	ctx := context.Background()
	db, err := party.Open(ctx, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	member, err := party.Open(ctx, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer member.Close()
	guest, err := party.Open(ctx, dir, &party.Options{Sockets: true})
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	if err := guest.Put(ctx, []byte("k"), []byte("v"), party.WriteOptions{Sync: true}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		private := info.Mode().Type() == os.ModeSocket || e.Name() == "party.once"
		if perm := info.Mode().Perm(); private && perm != 0o600 || perm&0o022 != 0 {
			t.Errorf("%s: mode %v", e.Name(), info.Mode())
		}
	}
}
