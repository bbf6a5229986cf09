//go:build linux

package coord_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/syndtr/goleveldb/leveldb/storage"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/partytest"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/vfs"
)

// member is in until it is told to end. Orders: "lock", "lead", "sync" (which
// never gets done), "panic".
func member(p *partytest.Self) error {
	c, err := join(context.Background(), p.Args[0])
	if err != nil {
		return err
	}
	p.Report(c.Slot())
	for {
		var order string
		if p.Order(&order) != nil {
			return c.Leave(nil)
		}
		switch order {
		case "lock":
			dead, err := c.Lock(context.Background())
			if err != nil {
				return err
			}
			p.Report(dead)
		case "lead":
			ok, err := c.TryLead()
			if err != nil {
				return err
			}
			c.Announce()
			p.Report(ok)
		case "sync":
			_ = c.Sync(context.Background(), 1, 1, func() error {
				p.Report("syncing")
				select {}
			})
		}
	}
}

func startMember(t testing.TB, dir string) (p *partytest.Process, slot int) {
	t.Helper()
	p = partytest.Start(t, "member", dir)
	p.Expect(&slot)
	return p, slot
}

// Property: the first member builds, those who come while one is in see its state,
// each handle is a member of its own, and the last one to leave, alone, puts the
// files in order and takes the block away.
func TestOpenAndLeave(t *testing.T) {
	dir := t.TempDir()
	a, first, err := coord.Open(t.Context(), dir, coord.Config{Program: strings.Repeat("x", 50), OptionsHash: 7})
	if err != nil || !first {
		t.Fatal(first, err)
	}
	// Until the first member is done nobody comes in.
	if _, _, err := coord.Open(timeout(t, 20*time.Millisecond), dir, config); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("during recovery: %v", err)
	}
	a.EnsureNextFile(12)
	a.Publish(stateOf(1000))
	a.Joined()
	info, err := os.Lstat(block(dir))
	if err != nil || info.Mode() != 0o600 || info.Size() != coord.BlockSize {
		t.Errorf("block: %v, %v", info, err)
	}

	b, first, err := coord.Open(t.Context(), dir, config)
	if err != nil || first {
		t.Fatal(first, err)
	}
	if got := b.State(); got != stateOf(1000) {
		t.Errorf("state %+v", got)
	}
	if n := b.NextFile(); n != 12 {
		t.Errorf("next file %d", n)
	}
	p, _ := startMember(t, dir)
	members := b.Members()
	if len(members) != 3 || members[0].Program != strings.Repeat("x", 40) || members[1].Program != "test" ||
		!members[1].Self || members[0].PID != os.Getpid() || members[2].PID != p.PID() ||
		time.Since(members[2].Since) > time.Minute {
		t.Errorf("members %+v", members)
	}

	runs := 0
	last := func() error { runs++; return nil }
	if err := a.Leave(last); err != nil {
		t.Error(err)
	}
	if err := a.Leave(last); err != nil {
		t.Error(err)
	}
	p.End()
	if runs != 0 || !exists(block(dir)) {
		t.Errorf("last ran %d times though one is left", runs)
	}
	if got := b.Members(); len(got) != 1 {
		t.Errorf("members %+v", got)
	}
	boom := errors.New("boom")
	err = b.Leave(func() error {
		if _, err := b.Lock(t.Context()); err != nil { // it can still write
			t.Error(err)
		}
		b.Unlock()
		_, _, err := coord.Open(timeout(t, 10*time.Millisecond), dir, config)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("opened beside the last: %v", err)
		}
		return boom
	})
	if !errors.Is(err, boom) || exists(block(dir)) {
		t.Errorf("left with %v; block is there: %v", err, exists(block(dir)))
	}
	if _, err := b.Lock(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("lock after leaving: %v", err)
	}
	if _, err := b.TryLead(); !errors.Is(err, store.ErrClosed) {
		t.Errorf("lead after leaving: %v", err)
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 1 || names[0].Name() != "LOCK" {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

// Property: a first member that fails leaves nothing, and the next one is first.
func TestFirstFails(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		c, first, err := coord.Open(t.Context(), dir, config)
		if err != nil || !first {
			t.Fatal(first, err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if exists(block(dir)) {
			t.Error("the block is there")
		}
	}
}

func TestOpenErrors(t *testing.T) {
	if _, _, err := coord.Open(t.Context(), filepath.Join(t.TempDir(), "none"), config); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	dir := t.TempDir()
	open(t, dir)
	_, _, err := coord.Open(t.Context(), dir, coord.Config{OptionsHash: 8})
	if !errors.Is(err, coord.ErrOptions) || !strings.Contains(err.Error(), "0000000000000007") || !strings.Contains(err.Error(), "0000000000000008") {
		t.Errorf("other options: %v", err)
	}
	f, err := os.OpenFile(block(dir), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{99}, 8); err != nil {
		t.Fatal(err)
	}
	_, _, err = coord.Open(t.Context(), dir, config)
	if !errors.Is(err, coord.ErrLayout) || !strings.Contains(err.Error(), "version 99") || !strings.Contains(err.Error(), "is 1") {
		t.Errorf("other version: %v", err)
	}
}

// stranger takes a lock as another program would, reports what became of it, and
// keeps it until it is told to end.
func stranger(p *partytest.Self) error {
	path := filepath.Join(p.Args[0], "LOCK")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	switch p.Args[1] {
	case "leveldb": // C++: a POSIX record lock on the whole file
		err = syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart})
	case "goleveldb":
		f.Close()
		_, err = storage.OpenFile(p.Args[0], false)
	case "leader", "reader": // who hosts sockets, or reads only
		f.Close()
		shared := p.Args[1] == "reader"
		if _, err = vfs.TryLock(path, shared); err == nil {
			_, err = vfs.TryFlock(path, shared)
		}
	case "flock":
		f.Close()
		_, err = vfs.TryFlock(path, false)
	}
	p.Report(err == nil)
	var order string
	err = p.Order(&order)
	runtime.KeepAlive(f)
	return err
}

// Property: members, and who does not share, refuse each other, in whatever way
// the other one locks.
func TestStrangers(t *testing.T) {
	for _, kind := range []string{"leveldb", "goleveldb", "leader", "reader", "flock"} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			var ok bool
			p := partytest.Start(t, "stranger", dir, kind)
			if p.Expect(&ok); !ok {
				t.Fatal("it got no lock on an empty directory")
			}
			within(t, "open", func() {
				if _, _, err := coord.Open(t.Context(), dir, config); !errors.Is(err, store.ErrLocked) {
					t.Errorf("opened beside it: %v, want ErrLocked", err)
				}
			})
			p.Kill()
			c := open(t, dir)
			p = partytest.Start(t, "stranger", dir, kind)
			if p.Expect(&ok); ok {
				t.Error("it got the lock beside a member")
			}
			p.End()
			if err := c.Leave(nil); err != nil {
				t.Fatal(err)
			}
			p = partytest.Start(t, "stranger", dir, kind)
			if p.Expect(&ok); !ok {
				t.Error("it got no lock after the last has left")
			}
			p.Kill()
		})
	}
}

// Property: what lies at party.shm while nobody is in does not matter.
func TestBlockRebuilt(t *testing.T) {
	dir := t.TempDir()
	put := func(b []byte) func() error {
		return func() error { return os.WriteFile(block(dir), b, 0o600) }
	}
	for name, lay := range map[string]func() error{
		"empty":   put(nil),
		"short":   put([]byte("short")),
		"garbage": put([]byte(strings.Repeat("garbage!", coord.BlockSize/8))),
		"link":    func() error { return os.Symlink("LOCK", block(dir)) },
		"dangling link": func() error {
			return os.Symlink("none/of/it", block(dir))
		},
		"pipe":      func() error { return syscall.Mkfifo(block(dir), 0o600) },
		"temporary": func() error { return os.WriteFile(block(dir)+".tmp", []byte("x"), 0o400) },
		"killed": func() error {
			p, _ := startMember(t, dir)
			p.Order("lock")
			var dead bool
			p.Expect(&dead)
			p.Kill()
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := lay(); err != nil {
				t.Fatal(err)
			}
			within(t, "open", func() {
				c, first, err := coord.Open(t.Context(), dir, config)
				if err != nil || !first {
					t.Errorf("%v, %v", first, err)
					return
				}
				c.Publish(stateOf(3))
				c.Joined()
				if dead, err := c.Lock(t.Context()); dead || err != nil {
					t.Errorf("lock: %v, %v", dead, err)
				}
				c.Unlock()
				if err := c.Leave(nil); err != nil || exists(block(dir)) {
					t.Error(err)
				}
			})
		})
	}
}

// Property: whoever spoils party.shm while members are in keeps others from
// joining, with an error that says so, and does not harm the members.
func TestBlockSpoiled(t *testing.T) {
	for name, spoil := range map[string]struct {
		do   func(dir string) error
		want error
		gone bool // the members' memory, too
	}{
		"removed": {func(dir string) error { return os.Remove(block(dir)) }, coord.ErrBlockLost, false},
		"replaced": {func(dir string) error {
			if err := os.Remove(block(dir)); err != nil {
				return err
			}
			return os.WriteFile(block(dir), []byte(strings.Repeat("garbage!", coord.BlockSize/8)), 0o600)
		}, store.ErrCorrupted, false},
		"head overwritten": {func(dir string) error {
			f, err := os.OpenFile(block(dir), os.O_RDWR, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte("garbage!"), 0)
			return errors.Join(err, f.Close())
		}, store.ErrCorrupted, false},
		"truncated": {func(dir string) error { return os.Truncate(block(dir), 0) }, store.ErrCorrupted, true},
		"cut":       {func(dir string) error { return os.Truncate(block(dir), 8192) }, store.ErrCorrupted, false},
		"LOCK removed": {func(dir string) error {
			return os.Remove(filepath.Join(dir, "LOCK"))
		}, coord.ErrBlockLost, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := open(t, dir)
			if err := spoil.do(dir); err != nil {
				t.Fatal(err)
			}
			if _, _, err := coord.Open(t.Context(), dir, config); !errors.Is(err, spoil.want) {
				t.Errorf("open: %v, want %v", err, spoil.want)
			}
			if spoil.gone && raceEnabled {
				t.Skip("the race detector's own accesses are not guarded")
			}
			err := vfs.Guard(func() error {
				if _, err := c.Lock(t.Context()); err != nil {
					return err
				}
				c.Publish(stateOf(5))
				c.Unlock()
				if seq, _ := c.Seq(); seq != 5 {
					return fmt.Errorf("sequence %d", seq)
				}
				return nil
			})
			if spoil.gone != errors.Is(err, vfs.ErrFault) || !spoil.gone && err != nil {
				t.Errorf("member: %v", err)
			}
			if err := c.Leave(nil); err != nil {
				t.Errorf("leave: %v", err)
			}
			if d := open(t, dir); !d.DirSynced(0) {
				t.Error("not opened anew")
			}
		})
	}
}

// Property: when all slots are taken, that is an error, and one that gets free
// can be used.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	others, err := vfs.OpenLockFile(filepath.Join(dir, "LOCK"))
	if err != nil {
		t.Fatal(err)
	}
	defer others.Close()
	for i := range coord.MaxMembers {
		if i != c.Slot() {
			if err := others.TryLock(coord.SlotByte+int64(i), false); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, _, err := coord.Open(t.Context(), dir, config); !errors.Is(err, coord.ErrFull) {
		t.Errorf("%v, want ErrFull", err)
	}
	if err := others.Unlock(coord.SlotByte + coord.MaxMembers - 1); err != nil {
		t.Fatal(err)
	}
	d := open(t, dir)
	if d.Slot() != coord.MaxMembers-1 || len(d.Members()) != coord.MaxMembers {
		t.Errorf("slot %d, %d members", d.Slot(), len(d.Members()))
	}
}

// Property: who joins does not make a dead owner of a lock look alive by taking its
// slot, and generations do not repeat an id that is still in use.
func TestSlotReuse(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	p, slot := startMember(t, dir)
	var dead bool
	p.Order("lock")
	p.Expect(&dead)
	p.Kill()
	// The slot of who has the write lock waits for a repair.
	if d := open(t, dir); d.Slot() == slot {
		t.Error("the slot of a dead owner was taken")
	}
	within(t, "lock", func() {
		if dead, err := c.Lock(t.Context()); !dead || err != nil {
			t.Errorf("lock: %v, %v", dead, err)
		}
		c.Repaired(1)
		c.Unlock()
	})

	// The sync lock's owner has nothing to leave, and its slot is taken.
	p = partytest.Start(t, "member", dir)
	if p.Expect(&slot); slot != 1 {
		t.Fatalf("slot %d", slot)
	}
	p.Order("sync")
	p.Expect(new(string))
	p.Kill()
	d := open(t, dir)
	if d.Slot() != slot {
		t.Errorf("slot %d, want the dead member's, %d", d.Slot(), slot)
	}
	within(t, "sync", func() {
		if got, err := c.TakeSyncLock(t.Context()); !got || err != nil {
			t.Errorf("sync lock of a dead owner whose slot is in use: %v, %v", got, err)
		}
	})

	// A generation that a lock word still has is left out when they come round.
	d.Leave(nil)
	c.SetSyncOwner(slot, 77)
	c.SetGeneration(slot, 76)
	e := open(t, dir)
	if e.Slot() != slot || e.Generation() != 78 {
		t.Errorf("slot %d generation %d", e.Slot(), e.Generation())
	}
	e.Leave(nil)
	c.SetGeneration(slot, 1<<19-1)
	if f := open(t, dir); f.Slot() != slot || f.Generation() != 1 {
		t.Errorf("slot %d generation %d", f.Slot(), f.Generation())
	}
}

// visitor opens and leaves again and again. The file "dirty" is there from the
// first one's recovery to the last one's tidying up.
func visitor(p *partytest.Self) error {
	dir, strict := p.Args[0], p.Args[1] == "strict"
	dirty := filepath.Join(dir, "dirty")
	p.Report("ready")
	var d time.Duration
	if err := p.Order(&d); err != nil {
		return err
	}
	n := 0
	for start := time.Now(); time.Since(start) < d; n++ {
		c, first, err := coord.Open(context.Background(), dir, config)
		if err != nil {
			return err
		}
		there := exists(dirty)
		if first {
			if there && strict {
				return errors.New("first, but the last one had not tidied up")
			}
			if err := os.WriteFile(dirty, nil, 0o600); err != nil {
				return err
			}
			c.Publish(stateOf(1))
			c.Joined()
		} else if !there {
			return errors.New("members are in, but it was tidied up")
		}
		if s := c.State(); s.Seq < 1 || s != stateOf(uint64(s.Seq)) {
			return fmt.Errorf("state %+v", s)
		}
		if dead, err := c.Lock(context.Background()); err != nil {
			return err
		} else if dead && strict {
			return errors.New("somebody died")
		} else if dead {
			c.Repaired(1)
		}
		c.Publish(stateOf(uint64(c.State().Seq) + 1))
		c.Unlock()
		err = c.Leave(func() error {
			if got := c.Members(); len(got) != 1 {
				return fmt.Errorf("the last of %+v", got)
			}
			return os.Remove(dirty)
		})
		if err != nil {
			return err
		}
	}
	p.Report(n)
	return nil
}

// Property: whoever comes while the last one leaves is either in before, and then
// that one is not the last, or is the first of the next.
func TestLastLeavesFirstComes(t *testing.T) {
	dir := t.TempDir()
	var all []*partytest.Process
	for range 3 {
		p := partytest.Start(t, "visitor", dir, "strict")
		p.Expect(new(string))
		all = append(all, p)
	}
	for _, p := range all {
		p.Order(300 * time.Millisecond)
	}
	for _, p := range all {
		var n int
		p.Expect(&n)
		if n == 0 {
			t.Error("a visitor was never in")
		}
		p.End()
	}
	if exists(block(dir)) || exists(filepath.Join(dir, "dirty")) {
		t.Error("not tidied up")
	}
}

// Property: a process that is killed at any point of joining, being in or leaving
// keeps nobody out, and leaves nothing that could not be opened.
func TestKilledVisitors(t *testing.T) {
	dir := t.TempDir()
	rnd := partytest.Random(t)
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	for i := range rounds {
		var stays *coord.Control // in every other round somebody is in all the time
		if i%2 == 1 {
			stays = open(t, dir)
			if err := os.WriteFile(filepath.Join(dir, "dirty"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var all []*partytest.Process
		for range 2 {
			p := partytest.Start(t, "visitor", dir, "")
			p.Expect(new(string))
			all = append(all, p)
		}
		for _, p := range all {
			p.Order(20 * time.Second)
		}
		for _, p := range all {
			time.Sleep(time.Duration(rnd.IntN(15_000)) * time.Microsecond)
			p.Kill()
		}
		within(t, fmt.Sprintf("round %d", i), func() {
			c := open(t, dir)
			dead, err := c.Lock(t.Context())
			if err != nil || dead && stays == nil {
				t.Errorf("lock: %v, %v", dead, err)
			}
			c.Repaired(1)
			c.Unlock()
			want := 1
			if stays != nil {
				want = 2
			}
			if got := c.Members(); len(got) != want {
				t.Errorf("members %+v", got)
			}
			for _, c := range []*coord.Control{stays, c} {
				if c != nil {
					if err := c.Leave(nil); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
}
