//go:build linux

package coord_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/levelparty/party/internal/partytest"
)

// syncer writes and syncs as several goroutines, and checks that what it synced
// has been. The disk is a page: what was published when a sync began is on it when
// that is over.
func syncer(p *partytest.Self) error {
	c, err := join(context.Background(), p.Args[0])
	if err != nil {
		return err
	}
	page, err := openPage(p.Args[0])
	if err != nil {
		return err
	}
	p.Report("ready")
	var d time.Duration
	if err := p.Order(&d); err != nil {
		return err
	}
	var (
		done    [2]atomic.Int64 // syncs, and calls
		group   sync.WaitGroup
		writing sync.Mutex
		failed  = make(chan error, 100)
		start   = time.Now()
	)
	for range 4 {
		group.Go(func() {
			for time.Since(start) < d {
				writing.Lock()
				if _, err := c.Lock(context.Background()); err != nil {
					failed <- err
				}
				s := c.State()
				s.Log, s.ImmLog, s.LogLen = 1, 0, int64(page.written.Add(10))
				c.Publish(s)
				c.Unlock()
				writing.Unlock()
				err := c.Sync(context.Background(), 1, s.LogLen, func() error {
					done[1].Add(1)
					now := page.written.Load()
					time.Sleep(2 * time.Millisecond)
					for a := page.acked.Load(); a < now && !page.acked.CompareAndSwap(a, now); a = page.acked.Load() {
					}
					return nil
				})
				if got := page.acked.Load(); err == nil && got < uint64(s.LogLen) {
					err = errors.New("synced to " + strconv.FormatUint(got, 10) + ", not to " + strconv.FormatInt(s.LogLen, 10))
				}
				if err != nil {
					failed <- err
					return
				}
				done[0].Add(1)
			}
		})
	}
	group.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	p.Report([2]int64{done[0].Load(), done[1].Load()})
	return c.Leave(nil)
}

// Property: Sync returns only after a sync that began when what it is about had
// been published, and one sync serves many who wait, in all processes.
func TestGroupSync(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	var all []*partytest.Process
	for range 4 {
		p := partytest.Start(t, "syncer", dir)
		p.Expect(new(string))
		all = append(all, p)
	}
	for _, p := range all {
		p.Order(300 * time.Millisecond)
	}
	var syncs, calls int64
	for _, p := range all {
		var n [2]int64
		p.Expect(&n)
		syncs, calls = syncs+n[0], calls+n[1]
		p.End()
	}
	t.Logf("%d syncs by %d calls", syncs, calls)
	if calls*3 > syncs {
		t.Errorf("%d calls for %d syncs of 16 goroutines", calls, syncs)
	}
}

// Property: who dies while it syncs is followed by the next who waits, and one that
// is stopped is not waited for.
func TestSyncerDies(t *testing.T) {
	for _, how := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		t.Run(how.String(), func(t *testing.T) {
			dir := t.TempDir()
			c := open(t, dir)
			p, _ := startMember(t, dir)
			p.Order("sync")
			p.Expect(new(string))
			time.AfterFunc(20*time.Millisecond, func() { p.Signal(how) })
			called := 0
			within(t, "sync", func() {
				err := c.Sync(t.Context(), 1, 1, func() error { called++; return nil })
				if err != nil || called != 1 {
					t.Errorf("%v, %d calls", err, called)
				}
			})
		})
	}
}
