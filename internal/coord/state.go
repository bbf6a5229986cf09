package coord

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/vfs"
)

// State is what all members agree to see. It changes as a whole.
type State struct {
	Seq format.SeqNum // the last write that readers may see

	Log    format.FileNum // the active log
	LogLen int64          // how much of it counts

	ImmLog format.FileNum // the log of the immutable memtable, 0 none
	ImmLen int64
	ImmSeq format.SeqNum // the last write in it

	Manifest    format.FileNum
	ManifestLen int64
	Version     uint64 // counts version edits
	Epoch       uint64 // counts changes of structure: rotations and version edits
	Level0      uint64 // number of tables in level 0
}

// stateTries bounds how often a reader tries again because states changed under
// its eyes. Two changes take longer than one reading, so that a second try is
// rare and a tenth does not happen; but what is mapped may be garbage.
const stateTries = 1000

// Seq returns the last write that may be seen, and the epoch that it was
// published in. It is a few loads.
func (c *Control) Seq() (seq format.SeqNum, epoch uint64) {
	h := &c.b.hot
	for range stateTries {
		f := h.flip.Load()
		seq, epoch = format.SeqNum(h.seq[f&1].Load()), h.epoch[f&1].Load()
		if h.flip.Load() == f {
			break
		}
	}
	return seq, epoch
}

// State returns the whole of it.
func (c *Control) State() (s State) {
	for range stateTries {
		f := c.b.hot.flip.Load()
		s = c.b.read(f & 1)
		if c.b.hot.flip.Load() == f {
			break
		}
		runtime.Gosched()
	}
	return s
}

func (b *block) read(i uint32) State {
	h, c := &b.hot, &b.cold[i]
	return State{
		Seq:         format.SeqNum(h.seq[i].Load()),
		Log:         format.FileNum(c.log.Load()),
		LogLen:      int64(h.logLen[i].Load()),
		ImmLog:      format.FileNum(c.immLog.Load()),
		ImmLen:      int64(c.immLen.Load()),
		ImmSeq:      format.SeqNum(c.immSeq.Load()),
		Manifest:    format.FileNum(c.manifest.Load()),
		ManifestLen: int64(c.manifestLen.Load()),
		Version:     c.version.Load(),
		Epoch:       h.epoch[i].Load(),
		Level0:      c.level0.Load(),
	}
}

// set spares the store, which costs as much as all else, to words that stay.
func set(w *atomic.Uint64, v uint64) {
	if w.Load() != v {
		w.Store(v)
	}
}

// Publish makes s what all see, at once and as a whole. If the epoch is another
// one, it wakes who waits for that. REQUIRES: the write lock.
func (c *Control) Publish(s State) {
	b := c.b
	// This load also keeps the stores below behind the flip before it.
	f := b.hot.flip.Load() + 1
	i := f & 1
	h, cold := &b.hot, &b.cold[i]
	set(&h.seq[i], uint64(s.Seq))
	set(&h.epoch[i], s.Epoch)
	set(&h.logLen[i], uint64(s.LogLen))
	set(&cold.log, uint64(s.Log))
	set(&cold.immLog, uint64(s.ImmLog))
	set(&cold.immLen, uint64(s.ImmLen))
	set(&cold.immSeq, uint64(s.ImmSeq))
	set(&cold.manifest, uint64(s.Manifest))
	set(&cold.manifestLen, uint64(s.ManifestLen))
	set(&cold.version, s.Version)
	set(&cold.level0, s.Level0)
	failpoint.Hit("coord.publish.filled")
	h.flip.Store(f)
	failpoint.Hit("coord.publish.flipped")
	if b.write.rung.Load() != s.Epoch || h.watched.Load() != 0 {
		c.tell(s.Epoch)
	}
}

func (c *Control) tell(epoch uint64) {
	if c.b.write.rung.Load() != epoch {
		c.ring()
		c.b.write.rung.Store(epoch)
	}
	c.wakeWatchers()
}

func (c *Control) wakeWatchers() {
	if h := &c.b.hot; h.watched.Load() != 0 {
		h.watched.Store(0)
		vfs.FutexWake(futex(&h.flip), 1<<30)
	}
}

func (c *Control) ring() {
	c.b.bell.word.Add(1)
	vfs.FutexWake(futex(&c.b.bell.word), 1<<30)
}

// WakeAll makes all return, in all processes, who wait in WaitEpoch.
func (c *Control) WakeAll() {
	c.ring()
	c.wakeWatchers()
}

// longestSleep is for how long who waits sleeps at most before it looks again
// by itself: whoever was to wake it may have died between deed and word. Tests
// make it longer.
var longestSleep = 100 * time.Millisecond

// WaitEpoch returns when the epoch is not the one given, WakeAll was called
// somewhere, max has passed, or ctx has ended.
func (c *Control) WaitEpoch(ctx context.Context, epoch uint64, max time.Duration) {
	b := &c.b.bell
	defer context.AfterFunc(ctx, func() { _ = vfs.Guard(func() error { c.ring(); return nil }) })()
	deadline := time.Now().Add(max)
	for first := b.word.Load(); b.word.Load() == first; {
		if _, now := c.Seq(); now != epoch || c.WaitErr(ctx) != nil {
			return
		}
		left := time.Until(deadline)
		if left <= 0 {
			return
		}
		// An error is as good as a wake: what counts is looked at again.
		_ = vfs.FutexWait(futex(&b.word), first, min(left, longestSleep))
	}
	runtime.KeepAlive(c)
}

// WaitSeq returns when write seq may be seen, or with an error when ctx has
// ended.
func (c *Control) WaitSeq(ctx context.Context, seq format.SeqNum) error {
	if now, _ := c.Seq(); now >= seq {
		return nil
	}
	h := &c.b.hot
	defer context.AfterFunc(ctx, func() { vfs.FutexWake(futex(&h.flip), 1<<30) })()
	for {
		h.watched.Store(1) // before the look: Publish looks at it after the flip
		f := h.flip.Load()
		if now, _ := c.Seq(); now >= seq {
			return nil
		}
		if err := c.WaitErr(ctx); err != nil {
			return err
		}
		_ = vfs.FutexWait(futex(&h.flip), f, longestSleep)
	}
}
