//go:build linux

package security

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/vfs"
)

// plants are what somebody who may write to the directory can put at a name.
// outside is a directory with a file that is to be hit.
var plants = map[string]func(name, outside string) error{
	"link to a file":      func(name, outside string) error { return os.Symlink(filepath.Join(outside, "victim"), name) },
	"link to nothing":     func(name, outside string) error { return os.Symlink(filepath.Join(outside, "new"), name) },
	"link to a directory": func(name, outside string) error { return os.Symlink(outside, name) },
	"second name":         func(name, outside string) error { return os.Link(filepath.Join(outside, "victim"), name) },
	"pipe":                func(name, _ string) error { return syscall.Mkfifo(name, 0o666) },
	"directory":           func(name, _ string) error { return os.MkdirAll(filepath.Join(name, "full"), 0o777) },
}

// victim is the file outside, in the state in which it has to stay.
var victim = bytes.Repeat([]byte("precious "), 10_000)

// names returns those that the next handles will use in dir: the fixed ones, and
// the next files.
func names(t *testing.T, dir string) []string {
	t.Helper()
	all := []string{
		"LOCK", "party.shm", "party.shm.tmp", "party.once", "party.once.tmp",
		"party.sock", "rave-level.sock", "level-party.sock", "lost",
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	highest := format.FileNum(0)
	for _, e := range entries {
		if _, n, ok := format.ParseFileName(e.Name()); ok {
			highest = max(highest, n)
		}
	}
	for n := highest + 1; n <= highest+2; n++ {
		all = append(all, format.LogName(n), format.TableName(n), format.MemName(n), format.TempName(n), format.ManifestName(n))
	}
	// The memtable that recovery makes for the log that is there.
	return append(all, format.MemName(highest-1), format.MemName(highest))
}

// use does all kinds of work with a database, and returns the first error.
func use(ctx context.Context, dir string, o *party.Options) error {
	db, err := party.Open(ctx, dir, o)
	if err != nil {
		return err
	}
	defer db.Close()
	other, err := party.Open(ctx, dir, o) // a member, or a guest
	if err != nil {
		return err
	}
	defer other.Close()
	for _, h := range []*party.DB{other, db} {
		for i := range 3 {
			// More than a memtable holds.
			if err := h.Put(ctx, fmt.Appendf(nil, "new%d", i), make([]byte, 100<<10), party.WriteOptions{Sync: true}); err != nil {
				return err
			}
		}
		if err := h.CompactRange(ctx, party.Range{}); err != nil {
			return err
		}
	}
	if v, err := db.Get(ctx, []byte("k")); err != nil || string(v) != "v" {
		return fmt.Errorf("got %q, %v", v, err)
	}
	return nil
}

// Property: whatever has been put at a name that is used next, nothing outside of
// the directory is changed, made or removed, and nobody waits for ever: it works,
// or there is an error that tells of it.
func TestPlanted(t *testing.T) {
	for kind, plant := range plants {
		for _, sockets := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/sockets=%v", kind, sockets), func(t *testing.T) {
				if testing.Short() && (sockets || raceEnabled) {
					t.Skip("takes long, and is not about races")
				}
				t.Parallel()
				o := &party.Options{Sockets: sockets, WriteBuffer: 64 << 10}
				for _, name := range names(t, prepared(t, o)) {
					dir, outside := prepared(t, o), filepath.Join(t.TempDir(), "outside")
					if err := errors.Join(os.Mkdir(outside, 0o755), os.WriteFile(filepath.Join(outside, "victim"), victim, 0o644)); err != nil {
						t.Fatal(err)
					}
					path := filepath.Join(dir, name)
					if err := errors.Join(os.RemoveAll(path), plant(path, outside)); err != nil {
						t.Fatal(err)
					}
					ended := make(chan error, 1)
					go func() {
						ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
						err := use(ctx, dir, o)
						cancel()
						_, _ = party.Check(context.Background(), dir)
						_, _ = party.Repair(context.Background(), dir, nil)
						ended <- err
					}()
					select {
					case err := <-ended:
						t.Logf("%s: %v", name, err)
						// Without its socket a leader is not found by who needs one.
						if errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), "for a leader of "+dir) {
							t.Errorf("%s: waited in vain, and does not say for what: %v", name, err)
						}
					case <-time.After(2 * time.Minute):
						t.Fatalf("%s: hangs", name)
					}
					untouched(t, name, outside)
				}
			})
		}
	}
}

// prepared returns a directory with a small database that nobody has open, whose
// last leader had guests.
func prepared(t *testing.T, o *party.Options) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "db")
	ctx := context.Background()
	db, err := party.Open(ctx, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Put(ctx, []byte("k"), []byte("v")), db.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func untouched(t *testing.T, name, outside string) {
	t.Helper()
	entries, err := os.ReadDir(outside)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("%s: outside are %v", name, entries)
	}
	path := filepath.Join(outside, "victim")
	b, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(b, victim) {
		t.Errorf("%s: the file outside was changed: %d bytes, %v", name, len(b), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 {
		t.Errorf("%s: the file outside has mode %v, %v", name, info.Mode(), err)
	}
}

// Property: what a repair puts aside stays in the directory, or where it was.
func TestPlantedLost(t *testing.T) {
	for kind, plant := range plants {
		t.Run(kind, func(t *testing.T) {
			dir, outside := prepared(t, nil), filepath.Join(t.TempDir(), "outside")
			err := errors.Join(os.Mkdir(outside, 0o755), os.WriteFile(filepath.Join(outside, "victim"), victim, 0o644),
				os.Remove(filepath.Join(dir, "CURRENT")), os.WriteFile(filepath.Join(dir, "000099.ldb"), make([]byte, 100), 0o644), plant(filepath.Join(dir, "lost"), outside))
			if err != nil {
				t.Fatal(err)
			}
			_, err = party.Repair(context.Background(), dir, nil)
			t.Log(err)
			if ok := kind == "directory"; ok != (err == nil) {
				t.Errorf("repaired: %v", err)
			}
			untouched(t, kind, outside)
		})
	}
}

// Property: what is opened in vain says which file, and what is wrong with it.
func TestPlantedError(t *testing.T) {
	dir := prepared(t, nil)
	lock := filepath.Join(dir, "LOCK")
	if err := errors.Join(os.Remove(lock), os.Symlink("elsewhere", lock)); err != nil {
		t.Fatal(err)
	}
	_, err := party.Open(context.Background(), dir, nil)
	if !errors.Is(err, vfs.ErrIrregular) || !strings.Contains(err.Error(), lock) {
		t.Errorf("opened with a link for LOCK: %v", err)
	}
}

// Property: a copy made of hard links stays as it was, whatever is then done with
// the database.
func TestLinkedCopy(t *testing.T) {
	ctx := context.Background()
	dir, copied := prepared(t, nil), t.TempDir()
	before := make(map[string][]byte)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		from, to := filepath.Join(dir, e.Name()), filepath.Join(copied, e.Name())
		if err := os.Link(from, to); err != nil {
			t.Fatal(err)
		}
		if before[to], err = os.ReadFile(to); err != nil {
			t.Fatal(err)
		}
	}
	if err := use(ctx, dir, nil); err != nil {
		t.Fatal(err)
	}
	for path, want := range before {
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, want) {
			t.Errorf("%s is no longer what it was: %d bytes, were %d, %v", path, len(b), len(want), err)
		}
	}
	// The other one is a database, too.
	if err := use(ctx, copied, nil); err != nil {
		t.Error(err)
	}
}

// Property: the directory itself may be a link, and read-only handles follow the
// links of a tree that is made of them.
func TestLinksThatAreMeant(t *testing.T) {
	ctx := context.Background()
	dir := prepared(t, nil)
	link := filepath.Join(t.TempDir(), "db")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if err := use(ctx, link, nil); err != nil {
		t.Error(err)
	}
	forest := t.TempDir()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == "LOCK" {
			continue // each tree has its own
		}
		if err := os.Symlink(filepath.Join(dir, e.Name()), filepath.Join(forest, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	db, err := party.Open(ctx, forest, &party.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if v, err := db.Get(ctx, []byte("k")); err != nil || string(v) != "v" {
		t.Errorf("got %q, %v", v, err)
	}
}

// Property: a link at a socket's name leads to no other process: one that trusts
// this user would take what is said there for a request.
func TestLinkedSocket(t *testing.T) {
	elsewhere := t.TempDir()
	l, err := vfs.Listen(elsewhere, "other")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(elsewhere, "other.sock"), filepath.Join(dir, "party.sock")); err != nil {
		t.Fatal(err)
	}
	if conn, _, err := vfs.Dial(dir, "party"); !errors.Is(err, vfs.ErrIrregular) {
		t.Errorf("followed a link: %v, %v", conn, err)
	}
}
