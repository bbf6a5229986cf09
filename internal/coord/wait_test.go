package coord_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/store"
)

// Property: who waits returns soon after what it waits for, and not before.
func TestWaits(t *testing.T) {
	defer coord.SetLongestSleep(time.Hour)() // so that a wake that is lost shows
	each(t, func(t *testing.T, a, b *coord.Control) {
		wait := func(name string, fn func(), until func()) {
			t.Helper()
			done := make(chan struct{})
			go func() {
				defer close(done)
				fn()
			}()
			select {
			case <-done:
				t.Errorf("%s: did not wait", name)
			case <-time.After(20 * time.Millisecond):
			}
			until()
			within(t, name, func() { <-done })
		}
		wait("seq", func() {
			if err := a.WaitSeq(t.Context(), 20); err != nil {
				t.Error(err)
			}
		}, func() { publish(t, b, 19); publish(t, b, 20) })
		if err := a.WaitSeq(t.Context(), 20); err != nil {
			t.Error(err)
		}
		wait("epoch", func() { a.WaitEpoch(t.Context(), 5, time.Minute) },
			func() { publish(t, b, 21); publish(t, b, 24) })
		wait("epoch, woken", func() { a.WaitEpoch(t.Context(), 6, time.Minute) }, b.WakeAll)
		ctx, cancel := context.WithCancel(t.Context())
		wait("epoch, context", func() { a.WaitEpoch(ctx, 6, time.Minute) }, cancel)
		ctx, cancel = context.WithCancel(t.Context())
		wait("seq, context", func() {
			if err := a.WaitSeq(ctx, 1000); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}, cancel)
		within(t, "epoch, time", func() { a.WaitEpoch(t.Context(), 6, 10*time.Millisecond) })
		within(t, "epoch, past", func() { a.WaitEpoch(t.Context(), 5, time.Minute) })
		wait("seq, left", func() {
			if err := b.WaitSeq(t.Context(), 1000); !errors.Is(err, store.ErrClosed) && a != b {
				t.Error(err)
			}
		}, func() {
			if a == b {
				publish(t, a, 1000)
			} else if err := b.Leave(nil); err != nil {
				t.Error(err)
			}
		})
	})
}

func TestFilesCountersFailure(t *testing.T) {
	each(t, func(t *testing.T, a, b *coord.Control) {
		a.EnsureNextFile(5)
		b.EnsureNextFile(3)
		if n, m := a.NextFile(), b.NextFile(); n != 5 || m != 6 || a.PeekNextFile() != 7 {
			t.Errorf("files %d, %d", n, m)
		}
		a.Hint(3, 12)
		a.Hint(3, 12)
		b.Hint(4, 13)
		b.Hint(5, 14) // too many
		for _, want := range [][2]int{{3, 12}, {4, 13}} {
			if level, n, ok := b.TakeHint(); !ok || level != want[0] || int(n) != want[1] {
				t.Errorf("hint %d, %d, %v; want %v", level, n, ok, want)
			}
		}
		if _, _, ok := b.TakeHint(); ok {
			t.Error("one hint too many")
		}
		if _, err := a.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.SetLogAlloc(1 << 20)
		if b.LogAlloc() != 1<<20 {
			t.Error("log's allocation")
		}
		a.Unlock()
		a.SetDirSynced(7)
		a.SetDirSynced(6)
		if !b.DirSynced(7) || b.DirSynced(8) {
			t.Error("directory's sync")
		}
		a.Count(2, 40)
		a.Count(2, 2)
		if m := b.Members()[0]; m.Counters[2] != 42 {
			t.Errorf("%+v", m)
		}
		if err := b.Failed(); err != nil {
			t.Error(err)
		}
		a.Fail(coord.FailSync)
		a.Fail(coord.FailWrite)
		if err := b.Failed(); !errors.Is(err, coord.ErrFailed) || !contains(err, "sync in process "+strconv.Itoa(os.Getpid())) {
			t.Errorf("%v", err)
		}
	})
}

// Property: after a sync that failed no other is tried: it could succeed though
// data is lost.
func TestSyncFails(t *testing.T) {
	each(t, func(t *testing.T, a, b *coord.Control) {
		boom := errors.New("boom")
		publish(t, a, 10)
		if err := a.Sync(t.Context(), 11, 20, func() error { return nil }); err != nil {
			t.Fatal(err)
		}
		// All that was published is durable, and the logs do not mix.
		if n, m := coord.DurableLen(b, 11), coord.DurableLen(b, 12); n != 30 || m != 0 {
			t.Errorf("durable %d, %d", n, m)
		}
		for log := uint64(12); log < 16; log++ {
			if err := b.Sync(t.Context(), fileNum(log), int64(log), func() error { return nil }); err != nil {
				t.Fatal(err)
			}
			if n := coord.DurableLen(a, fileNum(log)); n != int64(log) {
				t.Errorf("log %d: %d", log, n)
			}
			if n := coord.DurableLen(a, fileNum(log-1)); n == 0 {
				t.Errorf("log %d is forgotten at once", log-1)
			}
		}
		if err := a.Sync(t.Context(), 15, 100, func() error { return boom }); !errors.Is(err, boom) || !errors.Is(err, coord.ErrFailed) {
			t.Errorf("%v", err)
		}
		for _, c := range []*coord.Control{a, b} {
			err := c.Sync(t.Context(), 15, 90, func() error { t.Error("tried again"); return nil })
			if !errors.Is(err, coord.ErrFailed) {
				t.Errorf("%v", err)
			}
			if err := c.Sync(t.Context(), 15, 15, nil); err != nil {
				t.Errorf("what is durable stays so: %v", err)
			}
		}
	})
}

// Property: where memory cannot be shared, that is said in a way that is known.
func TestNotSupported(t *testing.T) {
	if twoMembers != nil {
		t.Skip("it can")
	}
	if _, _, err := coord.Open(t.Context(), t.TempDir(), coord.Config{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}
