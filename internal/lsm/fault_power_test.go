package lsm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/levelparty/party/internal/partytest"
	"github.com/levelparty/party/internal/vfs"
)

// failingImage is what a loss of power has left of a disk that was failing.
type failingImage struct {
	fs        *vfs.Mem
	low, high int // the last write it must have, and may have
	when      string
}

// failingRun lives on a failing disk through losses of power.
type failingRun struct {
	*faultRun

	mu     sync.Mutex // guards what follows
	chance *rand.Rand
	images []failingImage
}

// crash keeps what would be left now.
func (f *failingRun) crash(when string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	low := int(f.synced.Load())
	fs := f.mem.Crash(f.chance)
	f.images = append(f.images, failingImage{fs, low, int(f.begun.Load()), when})
}

// live works on the disk while it fails, perhaps until after it is repaired.
func (f *failingRun) live(kind fault, rnd *rand.Rand) {
	p := []float64{0.01, 0.1, 0.5}[rnd.IntN(3)]
	fails := vfs.Chance(rand.New(rand.NewPCG(rnd.Uint64(), 0)), p, kind.err, kind.ops...)
	f.fs.Set(func(op vfs.Op, name string) error {
		f.mu.Lock()
		now := len(f.images) < 4 && f.chance.Float64() < 0.01
		f.mu.Unlock()
		err := fails(op, name)
		if now && op != vfs.OpRead {
			f.crash(fmt.Sprintf("before %v %s, error %v", op, filepath.Base(name), err))
		}
		return err
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
			f.crash("before it was repaired")
			f.goesOn()
		}
	}
	f.crash("at the end")
	if f.db != nil {
		f.db.Resign()
		f.told(errors.Join(f.db.Close(), f.db.Release()))
		f.db = nil
	}
	f.fs.Set(nil)
}

// check opens what a loss of power has left. It returns the writes that are there,
// and the number of the last.
func (f *failingRun) check(im failingImage) (got map[string]string, last int) {
	t := f.t
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%s: power lost %s, kept in %s: %s", f.name, im.when, keepFiles(t, im.fs, faultDir), fmt.Sprintf(format, args...))
	}
	left := im.fs.Crash(rand.New(rand.NewPCG(1, 1))) // a copy: all of it is durable
	reader := &faultRun{t: t, fs: vfs.NewFault(left), mem: left}
	if err := reader.open(); err != nil {
		fail("open: %v", err)
	}
	got = dump(t, reader.db, nil)
	shut(t, reader.db)
	for key, v := range got {
		n := 0
		if _, err := fmt.Sscanf(key, "key%d", &n); err != nil || n > im.high {
			fail("%s is there, %d writes had begun", key, im.high)
		}
		if f.acked[key] != v && f.maybe[key] != v {
			fail("%s is there, but its write failed, or it was lost before", key)
		}
		last = max(last, n)
	}
	if last < im.low {
		fail("the last that is there is %d, %d were synced", last, im.low)
	}
	for n := range last {
		key := faultKey(n + 1)
		if v, ok := f.acked[key]; ok && got[key] != v {
			fail("%s is lost, and %s is there; %d were synced", key, faultKey(last), im.low)
		}
	}
	report, err := CheckFS(context.Background(), left, faultDir)
	if err != nil {
		fail("opened and closed: %v", err)
	}
	for _, problem := range report.Problems {
		if !strings.Contains(problem.Reason, "is in no level") { // see powerRun.check
			fail("opened and closed: %v", problem)
		}
	}
	return got, last
}

// Property: whatever has failed on a disk before the power is lost, and at
// whichever operation that happens, recovery does not fail; what was synced is
// there; of the rest that was acknowledged what is there comes before all that is
// not; and what failed, or was lost once, does not come back. Also when the disk
// goes on failing while that is recovered, and the power is lost again.
func TestFaultsAndPowerLoss(t *testing.T) {
	pause, limit := retryPause, maxManifest
	defer func() { retryPause, maxManifest = pause, limit }()
	retryPause, maxManifest = time.Millisecond, 500
	seed := partytest.Seed(t)
	runs := uint64(300)
	if testing.Short() {
		runs = 40
	}
	losses, partly := 0, 0
	for run := range runs {
		rnd := rand.New(rand.NewPCG(seed, run))
		all := faults()
		kind := all[rnd.IntN(len(all))]
		f := &failingRun{
			faultRun: newFaultRun(t, fmt.Sprintf("run %d, %s", run, kind.name), kind.err),
			chance:   rand.New(rand.NewPCG(seed, 1000+run)),
		}
		for range 1 + rnd.IntN(3) {
			f.images = nil
			f.live(kind, rnd)
			var left failingImage
			var got map[string]string
			var last int
			which := rnd.IntN(len(f.images))
			for i, im := range f.images {
				there, n := f.check(im)
				if i == which {
					left, got, last = im, there, n
				}
				if losses++; n > im.low && n < im.high {
					partly++
				}
			}
			f.mem, f.fs = left.fs, vfs.NewFault(left.fs)
			f.acked, f.maybe = got, make(map[string]string)
			f.synced.Store(int64(last))
		}
	}
	t.Logf("%d losses of power, %d that took some of the writes", losses, partly)
	if partly == 0 {
		t.Error("none that took some of the writes and left others")
	}
}
