package lsm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/partytest"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/vfs"
)

// faultRun uses a database whose disk fails.
type faultRun struct {
	t      *testing.T
	name   string
	want   error // what the disk says
	fs     *vfs.Fault
	mem    *vfs.Mem
	db     *DB
	acked  map[string]string
	maybe  map[string]string // written with an unknown outcome
	n      int
	errors int

	begun, synced atomic.Int64 // numbers of writes
}

func faultKey(n int) string { return fmt.Sprintf("key%04d", n) }

const faultDir = string(filepath.Separator) + "db"

// told checks an error: it says what the disk said, or that nothing is certain
// any more.
func (f *faultRun) told(err error) {
	f.t.Helper()
	if err == nil {
		return
	}
	f.errors++
	if !errors.Is(err, f.want) && !errors.Is(err, coord.ErrFailed) {
		f.t.Fatalf("%s: %v, want %v or %v", f.name, err, f.want, coord.ErrFailed)
	}
}

func (f *faultRun) open() error {
	db, err := Open(Config{Dir: faultDir, FS: f.fs, Control: coord.Private(), Private: true, First: true, WriteBuffer: 64 << 10, Retention: -1, Log: slog.New(slog.NewTextHandler(f.t.Output(), nil))})
	if err != nil {
		return err
	}
	if err := db.Lead(); err != nil {
		return errors.Join(err, db.Close(), db.Release())
	}
	f.db = db
	return nil
}

// within returns a context that ends long after everything else should have.
func within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 20*time.Second)
}

func (f *faultRun) write(sync bool) error {
	ctx, cancel := within()
	defer cancel()
	f.n++
	f.begun.Store(int64(f.n))
	key, value := faultKey(f.n), fmt.Sprint(f.n, strings.Repeat("v", 900))
	pos, err := f.db.Write(ctx, putRecord(key, value), 1, nil)
	if err == nil && sync {
		err = f.db.Sync(ctx, pos)
		if err != nil && !errors.Is(err, coord.ErrFailed) && !errors.Is(err, coord.ErrNotTried) {
			f.t.Fatalf("%s: a sync failed, but the handle goes on: %v", f.name, err)
		}
	}
	switch {
	case err == nil:
		f.acked[key] = value
		if sync {
			f.synced.Store(int64(f.n))
		}
	case errors.Is(err, coord.ErrFailed), errors.Is(err, coord.ErrNotTried):
		f.maybe[key] = value
	}
	return err
}

// reads checks that what was acknowledged is there, or an error says why not.
func (f *faultRun) reads() {
	f.t.Helper()
	for key, want := range f.acked {
		v, err := f.db.Get(nil, []byte(key), nil)
		if err == nil && string(v) != want || errors.Is(err, store.ErrNotFound) {
			f.t.Fatalf("%s: %s: %d bytes, %v", f.name, key, len(v), err)
		}
		f.told(err)
	}
}

// work does what all parts of the engine are needed for.
func (f *faultRun) work() {
	ctx, cancel := within()
	defer cancel()
	for i := range 3 {
		for j := range 25 {
			f.told(f.write(j%8 == 0))
		}
		f.reads()
		f.told(f.db.Flush(ctx))
		if i > 0 {
			f.told(f.db.CompactRange(ctx, store.Bounds{}))
		}
	}
	f.reads()
}

// end ends the handle, and checks that what a new one finds is what was
// acknowledged.
func (f *faultRun) end(tidy bool) {
	t := f.t
	t.Helper()
	if f.db != nil {
		f.db.Resign()
		f.told(f.db.Close())
		if tidy {
			f.told(f.db.Tidy())
		}
		f.told(f.db.Release())
	}
	f.fs.Set(nil)
	if err := f.open(); err != nil {
		t.Fatalf("%s: open without faults: %v", f.name, err)
	}
	got := dump(t, f.db, nil)
	for key, v := range f.acked {
		if got[key] != v {
			t.Fatalf("%s: acknowledged %s is lost: %d bytes", f.name, key, len(got[key]))
		}
	}
	for key, v := range got {
		if f.acked[key] != v && f.maybe[key] != v {
			t.Fatalf("%s: %s is there, but its write failed", f.name, key)
		}
	}
	if err := f.write(true); err != nil {
		t.Fatalf("%s: write without faults: %v", f.name, err)
	}
	shut(t, f.db)
	if report, err := CheckFS(context.Background(), f.mem, faultDir); err != nil || len(report.Problems) > 0 {
		t.Fatalf("%s: %v, %v", f.name, report, err)
	}
}

// fault is a way in which a disk fails.
type fault struct {
	name   string
	err    error
	ops    []vfs.Op
	sticky bool // until somebody does something about it
	stride int  // not every operation, for the time it takes
}

func faults() []fault {
	space := []vfs.Op{vfs.OpWrite, vfs.OpAllocate, vfs.OpCreate}
	return []fault{
		{"full", syscall.ENOSPC, space, true, 1},
		{"full for a moment", syscall.ENOSPC, space, false, 1},
		{"full in the midst of a write", &vfs.Short{N: 100, Err: syscall.ENOSPC}, space, false, 1},
		{"full in the midst of each write", &vfs.Short{N: 5, Err: syscall.ENOSPC}, space, true, 3},
		{"bad sector", syscall.EIO, []vfs.Op{vfs.OpWrite, vfs.OpTruncate}, false, 1},
		{"bad disk", syscall.EIO, []vfs.Op{vfs.OpWrite, vfs.OpTruncate, vfs.OpSync, vfs.OpSyncDir, vfs.OpRead}, true, 5},
		{"sync", syscall.EIO, []vfs.Op{vfs.OpSync, vfs.OpSyncDir}, false, 1},
		{"no sync any more", syscall.EIO, []vfs.Op{vfs.OpSync, vfs.OpSyncDir}, true, 2},
		{"no descriptor", syscall.EMFILE, []vfs.Op{vfs.OpOpen, vfs.OpCreate, vfs.OpReadDir}, false, 1},
		{"no descriptors", syscall.EMFILE, []vfs.Op{vfs.OpOpen, vfs.OpCreate, vfs.OpReadDir}, true, 1},
		{"names", syscall.EIO, []vfs.Op{vfs.OpRename, vfs.OpRemove, vfs.OpStat}, false, 1},
		{"anything", syscall.EIO, nil, false, 7},
	}
}

// Property: whichever operation of the file system fails, and with what, the
// error says so; what was acknowledged stays, and what was not does not come
// back, unless a sync has failed; when the disk works again the same handle goes
// on, or says that it must be opened anew.
func TestEveryFault(t *testing.T) {
	pause, limit := retryPause, maxManifest
	defer func() { retryPause, maxManifest = pause, limit }()
	retryPause, maxManifest = time.Millisecond, 500
	for _, fault := range faults() {
		t.Run(fault.name, func(t *testing.T) {
			stride := fault.stride
			if testing.Short() {
				stride *= 5
			}
			times, failed := 0, 0
			for n := 1; ; n += stride {
				rule, hit := vfs.Nth(int64(n), fault.sticky, fault.err, fault.ops...)
				f := newFaultRun(t, fmt.Sprintf("operation %d", n), fault.err)
				f.fs.Set(rule)
				err := f.open()
				f.told(err)
				if err == nil {
					f.work()
					f.goesOn()
				}
				f.end(n%2 == 0)
				if !hit() {
					break
				}
				times++
				if f.errors > 0 {
					failed++
				}
			}
			t.Logf("%d operations failed, %d were felt", times, failed)
			if times < 2 {
				t.Error("nothing failed")
			}
		})
	}
}

func newFaultRun(t *testing.T, name string, want error) *faultRun {
	var short *vfs.Short
	if errors.As(want, &short) {
		want = short.Err
	}
	mem := vfs.NewMem()
	return &faultRun{t: t, name: name, want: want, fs: vfs.NewFault(mem), mem: mem, acked: make(map[string]string), maybe: make(map[string]string)}
}

// goesOn repairs the disk.
func (f *faultRun) goesOn() {
	f.t.Helper()
	f.fs.Set(nil)
	for start := time.Now(); ; {
		err := f.write(true)
		if err == nil || errors.Is(err, coord.ErrFailed) {
			break
		}
		f.told(err)
		if time.Since(start) > 10*time.Second {
			f.t.Fatalf("%s: it does not go on: %v", f.name, err)
		}
		runtime.Gosched()
	}
	f.reads()
}

// Property: the same, of faults by chance, several at a time, on a slow disk.
func TestFaultsByChance(t *testing.T) {
	pause, limit := retryPause, maxManifest
	defer func() { retryPause, maxManifest = pause, limit }()
	retryPause, maxManifest = time.Millisecond, 500
	seed := partytest.Seed(t)
	runs := 60
	if testing.Short() {
		runs = 20
	}
	for run := range uint64(runs) {
		rnd := rand.New(rand.NewPCG(seed, run))
		all := faults()
		kind := all[rnd.IntN(len(all))]
		f := newFaultRun(t, fmt.Sprintf("run %d, %s", run, kind.name), kind.err)
		chance := vfs.Chance(rand.New(rand.NewPCG(seed, 1000+run)), []float64{0.01, 0.1, 0.5}[rnd.IntN(3)], kind.err, kind.ops...)
		slow := vfs.Slow(rand.New(rand.NewPCG(seed, 2000+run)), 50*time.Microsecond, vfs.OpSync, vfs.OpWrite)
		f.fs.Set(func(op vfs.Op, name string) error {
			_ = slow(op, name)
			return chance(op, name)
		})
		var err error
		for range 20 {
			if err = f.open(); err == nil {
				break
			}
			f.told(err)
		}
		if err == nil {
			f.work()
			if rnd.IntN(2) == 0 {
				f.goesOn()
			}
		}
		f.end(rnd.IntN(2) == 0)
	}
}
