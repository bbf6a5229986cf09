package vfs

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// faultCalls are all calls that can fail, each with the operation that it is.
var faultCalls = []struct {
	name string
	op   Op
	call func(fsys FS, f File) error
}{
	{"Open", OpOpen, func(fsys FS, _ File) error { return second(fsys.Open(inDir("f"))) }},
	{"OpenFile", OpOpen, func(fsys FS, _ File) error { return second(fsys.OpenFile(inDir("f"), os.O_RDWR, 0)) }},
	{"OpenFile, create", OpCreate, func(fsys FS, _ File) error { return second(fsys.OpenFile(inDir("g"), os.O_RDWR|os.O_CREATE, 0)) }},
	{"Rename", OpRename, func(fsys FS, _ File) error { return fsys.Rename(inDir("f"), inDir("h")) }},
	{"Remove", OpRemove, func(fsys FS, _ File) error { return fsys.Remove(inDir("f")) }},
	{"ReadDir", OpReadDir, func(fsys FS, _ File) error { return second(fsys.ReadDir(memDir)) }},
	{"Stat", OpStat, func(fsys FS, _ File) error { return second(fsys.Stat(inDir("f"))) }},
	{"SyncDir", OpSyncDir, func(fsys FS, _ File) error { return fsys.SyncDir(memDir) }},
	{"ReadAt", OpRead, func(_ FS, f File) error { return second(f.ReadAt(make([]byte, 2), 0)) }},
	{"Write", OpWrite, func(_ FS, f File) error { return second(f.Write([]byte("new"))) }},
	{"WriteAt", OpWrite, func(_ FS, f File) error { return second(f.WriteAt([]byte("new"), 1)) }},
	{"Truncate", OpTruncate, func(_ FS, f File) error { return f.Truncate(1) }},
	{"Sync", OpSync, func(_ FS, f File) error { return f.Sync() }},
	{"SyncData", OpSync, func(_ FS, f File) error { return f.SyncData() }},
	{"Allocate", OpAllocate, func(_ FS, f File) error { return f.Allocate(0, 100) }},
	{"Map", OpMap, func(_ FS, f File) error { return second(f.Map(1)) }},
	{"Size", OpStat, func(_ FS, f File) error { return second(f.Size()) }},
}

func second[T any](_ T, err error) error { return err }

// newFault returns an FS over files in memory: f, whose content is not synced.
func newFault(t testing.TB) (*Fault, *Mem, File) {
	t.Helper()
	m := NewMem()
	fault := NewFault(m)
	f := create(t, fault, inDir("f"))
	_, err := f.WriteAt([]byte("old"), 0)
	must(t, err)
	return fault, m, f
}

// Property: an operation that is to fail does, with an error that names it and
// wraps the rule's, and does nothing; all others do what they do without a rule;
// also on files that were open before.
func TestFaultFails(t *testing.T) {
	for _, rule := range faultCalls {
		for _, c := range faultCalls {
			fault, m, f := newFault(t)
			before := names(t, m)
			fault.Set(func(op Op, _ string) error {
				if op == rule.op {
					return syscall.EIO
				}
				return nil
			})
			err := c.call(fault, f)
			if errors.Is(err, syscall.EIO) != (c.op == rule.op) {
				t.Errorf("%v fails: %s returns %v", rule.op, c.name, err)
			}
			if c.op != rule.op {
				if err != nil && !errors.Is(err, ErrNotSupported) { // Map
					t.Errorf("%v fails: %s returns %v", rule.op, c.name, err)
				}
				continue
			}
			var path *fs.PathError
			if !errors.As(err, &path) || path.Op != c.op.String() || path.Path == "" {
				t.Errorf("%s: %v does not say where", c.name, err)
			}
			if got := names(t, m); got != before {
				t.Errorf("%s failed, but there is %s", c.name, got)
			}
			fault.Set(nil)
			if err := c.call(fault, f); err != nil && !errors.Is(err, ErrNotSupported) {
				t.Errorf("%s, without a rule: %v", c.name, err)
			}
		}
	}
}

// Property: a sync that fails makes nothing durable, of a file and of a directory.
func TestFaultSync(t *testing.T) {
	fault, m, f := newFault(t)
	fault.Set(func(op Op, _ string) error {
		if op == OpSync || op == OpSyncDir {
			return syscall.EIO
		}
		return nil
	})
	if f.Sync() == nil || fault.SyncDir(memDir) == nil {
		t.Fatal("a sync did not fail")
	}
	leaves(t, m, func(left *Mem) string { return names(t, left) }, "[]", "[f=]", "[f=old]", "[f=\x00\x00\x00]")
	fault.Set(nil)
	must(t, errors.Join(f.Sync(), fault.SyncDir(memDir)))
	leaves(t, m, func(left *Mem) string { return names(t, left) }, "[f=old]")
}

// Property: a write that fails behind its first N bytes has written these, says so,
// and never all.
func TestFaultShort(t *testing.T) {
	for n, want := range map[int]string{0: "old", 1: "nld", 2: "ned", 3: "ned", 100: "ned"} {
		for _, at := range []bool{false, true} {
			fault, m, f := newFault(t)
			fault.Set(func(Op, string) error { return &Short{N: n, Err: syscall.ENOSPC} })
			var wrote int
			var err error
			if at {
				wrote, err = f.WriteAt([]byte("new"), 0)
			} else {
				wrote, err = f.Write([]byte("new"))
			}
			if wrote != min(n, 2) || !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%d: %d bytes, %v", n, wrote, err)
			}
			if got := names(t, m); got != "[f="+want+"]" {
				t.Errorf("%d: there is %s, want %s", n, got, want)
			}
			if err := f.Truncate(0); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("truncate: %v", err)
			}
		}
	}
}

// Property: of the operations meant, the n-th fails, and if the fault stays, all
// from it on; others do not count.
func TestFaultNth(t *testing.T) {
	for n := int64(1); n <= 6; n++ {
		for _, sticky := range []bool{false, true} {
			rule, hit := Nth(n, sticky, io.ErrUnexpectedEOF, OpSync, OpWrite)
			for i := int64(1); i <= 5; i++ {
				if err := rule(OpRead, "f"); err != nil {
					t.Fatalf("another operation: %v", err)
				}
				op := OpSync
				if i%2 == 0 {
					op = OpWrite
				}
				if got, want := rule(op, "f") != nil, i == n || sticky && i > n; got != want {
					t.Errorf("the %d-th fails, sticky %v: operation %d %v, want %v", n, sticky, i, got, want)
				}
				if hit() != (i >= n) {
					t.Errorf("the %d-th: hit %v at %d", n, hit(), i)
				}
			}
		}
	}
	rule, _ := Nth(2, false, io.ErrUnexpectedEOF)
	if rule(OpMap, "") != nil || rule(OpOpen, "") == nil {
		t.Error("no operations are not all")
	}
}

// Property: by chance none fail, all, or about as many as they should; the same
// ones for the same seed.
func TestFaultChance(t *testing.T) {
	const times = 10_000
	count := func(p float64) (failed []int) {
		rule := Chance(rand.New(rand.NewPCG(1, 2)), p, io.ErrUnexpectedEOF, OpWrite)
		for i := range times {
			if rule(OpSync, "") != nil {
				t.Fatal("another operation fails")
			}
			if rule(OpWrite, "") != nil {
				failed = append(failed, i)
			}
		}
		return failed
	}
	for p, want := range map[float64][2]int{0: {0, 0}, 1: {times, times}, 0.1: {800, 1200}} {
		a, b := count(p), count(p)
		if len(a) < want[0] || len(a) > want[1] || len(a) != len(b) || len(a) > 0 && a[len(a)-1] != b[len(b)-1] {
			t.Errorf("%v: %d and %d of %d failed", p, len(a), len(b), times)
		}
	}
}

// Property: rules may be used and changed by many at once; a slow disk is no
// failing one.
func TestFaultConcurrently(t *testing.T) {
	fault, _, f := newFault(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 200 {
				if i == 0 {
					fault.Set(Slow(rand.New(rand.NewPCG(3, 4)), time.Microsecond))
					fault.Set(Chance(rand.New(rand.NewPCG(5, 6)), 0.5, io.ErrUnexpectedEOF, OpRead))
					continue
				}
				if _, err := f.WriteAt([]byte("x"), int64(i)); err != nil {
					t.Errorf("write: %v", err)
				}
				if _, err := f.ReadAt(make([]byte, 1), 0); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("read: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

// Property: a file can always be closed.
func TestFaultClose(t *testing.T) {
	fault, _, f := newFault(t)
	fault.Set(func(Op, string) error { return syscall.EIO })
	must(t, f.Close())
}
