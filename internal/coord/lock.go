package coord

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/vfs"
)

// A lock is one word:
//
//	bit  31      asleep: somebody may sleep on the word
//	     30      woken: somebody was woken and is on the way to the lock
//	     29      starved: somebody has waited for too long; a free lock is left to it
//	     0-28    the owner's id, 0 if the lock is free
//
// Taking a free lock, and giving up one that nobody waits for, is one
// compare-and-swap. Who finds it taken watches it for a few microseconds and then
// sleeps. Three things keep it fast and fair when it is handed round busily:
//
//   - Whoever comes by takes a free lock, ahead of all who sleep. Handing it to a
//     sleeper would leave it idle until that one runs: tens of microseconds, for
//     each of a few.
//   - At most one is woken at a time. While it is on the way (woken), or watches,
//     giving the lock up costs no system call. Only when it falls asleep again in
//     vain the next release wakes the next one.
//   - Who has waited for starveAfter says so (starved). The lock is then left free
//     for it; the others keep off, for starvedGrace at most, since it may be dead.
//
// Any of them may die or be stopped at any instruction. The dead owner's id
// stays in the word: sleepers wake up by themselves after firstNap, later after at
// most longNap, and test whether the owner is alive. A dead sleeper leaves asleep
// set: the next release wakes nobody, and clears it. One that died when it was
// woken, or an owner that died before it woke anybody, leaves woken set: sleepers
// that wake up by themselves take it back. A dead starving one costs the
// others starvedGrace, once.
const (
	asleep  = 1 << 31
	woken   = 1 << 30
	starved = 1 << 29

	firstNap     = time.Millisecond
	longNap      = 10 * time.Millisecond
	starveAfter  = 4 * time.Millisecond
	starvedGrace = time.Millisecond

	// watchTurns is how often a lock that is taken is looked at before sleeping,
	// with pauseTurns turns of an empty loop in between: some 20 microseconds in
	// all, a few critical sections. With one CPU the owner cannot get on meanwhile.
	watchTurns = 200
	pauseTurns = 200
)

// futex is the word as the system call wants it.
func futex(w *atomic.Uint32) *uint32 { return (*uint32)(unsafe.Pointer(w)) }

// wait says how acquire waits.
type wait struct {
	watch bool
	// enough, if not nil, is asked now and then whether the lock is still needed.
	enough func() bool
	// patience, if not 0, is how long to wait for an owner that is alive.
	patience time.Duration
	// inherit says that a dead owner's id must not get lost: see slot.heirOf.
	inherit bool
}

// outcome of acquire.
type outcome int

const (
	locked   outcome = iota
	stopped          // by an error
	needless         // see wait.enough
	bored            // see wait.patience
)

// acquire takes the lock. dead is the id of the owner that it was taken over from
// because that one had died, or 0.
func (c *Control) acquire(ctx context.Context, l *atomic.Uint32, how wait) (got outcome, dead uint32, err error) {
	var (
		started  = time.Now()
		nap      = firstNap
		awake    bool      // woken is set on our behalf
		starving bool      // we have waited for starveAfter
		reserved time.Time // since when the lock was seen free, and left to another
		watch    = 0
	)
	if how.watch && runtime.NumCPU() > 1 {
		watch = watchTurns
	}
	if c.left.Load() {
		return stopped, 0, store.ErrClosed
	}
	for turns := watch; ; {
		w := l.Load()
		if w&idMask == 0 {
			mayTake := w&starved == 0 || starving || !reserved.IsZero() && time.Since(reserved) >= starvedGrace
			if mayTake {
				next := c.id | w&(asleep|woken)
				if awake {
					next &^= woken
				}
				if l.CompareAndSwap(w, next) {
					return locked, 0, nil
				}
				continue
			}
			if reserved.IsZero() {
				reserved = time.Now()
			}
		} else {
			reserved = time.Time{}
		}
		if turns > 0 {
			turns--
			pause()
			continue
		}

		if how.enough != nil && how.enough() {
			c.backOff(l, awake)
			return needless, 0, nil
		}
		waited := time.Since(started)
		err := ctx.Err()
		if err == nil && (c.left.Load() || how.inherit && c.ending.Load()) {
			err = store.ErrClosed
		}
		switch {
		case err != nil:
			c.backOff(l, awake)
			return stopped, 0, err
		case how.patience > 0 && waited > how.patience:
			c.backOff(l, awake)
			return bored, 0, nil
		}
		next := w | asleep
		if awake {
			next &^= woken
		}
		if waited > starveAfter && how.watch {
			starving = true
			next |= starved
		}
		if next != w && !l.CompareAndSwap(w, next) {
			continue
		}
		awake = false
		pausing := nap
		if next&idMask == 0 {
			pausing = starvedGrace
		}
		switch err := vfs.FutexWait(futex(l), next, pausing); {
		case err == nil:
			awake = true
			turns = watch
		case errors.Is(err, vfs.ErrChanged) && l.Load() != next:
			turns = watch
		default:
			// The one that was woken may have died on the way.
			awake = l.Load()&woken != 0
			w := l.Load()
			if id := w & idMask; id != 0 && !c.alive(id) {
				if how.inherit {
					id = c.b.origin(id)
					c.me().heirOf.Store(uint64(id))
				}
				if l.CompareAndSwap(w, c.id|w&asleep) {
					return locked, id, nil
				}
				if how.inherit {
					c.me().heirOf.Store(0)
				}
			}
			nap = min(2*nap, longNap)
		}
	}
}

// backOff undoes the marks of who goes away without the lock: somebody else
// has to be woken in its place.
func (c *Control) backOff(l *atomic.Uint32, awake bool) {
	for awake {
		w := l.Load()
		if w&woken == 0 {
			return
		}
		if w&idMask == 0 { // no release is to come that would wake the next
			c.wake(l, 1)
			return
		}
		if l.CompareAndSwap(w, w&^woken) {
			return
		}
	}
}

// release gives the lock up. all: whoever sleeps may be content without the lock.
func (c *Control) release(l *atomic.Uint32, all bool) {
	if l.CompareAndSwap(c.id, 0) {
		return
	}
	for {
		w := l.Load()
		if w&idMask != c.id {
			return // not ours: garbage was written there
		}
		next := w &^ idMask
		everybody := all || w&starved != 0 // the kernel does not know who starves
		call := w&asleep != 0 && (everybody || w&woken == 0)
		if call {
			next |= woken
		}
		if !l.CompareAndSwap(w, next) {
			continue
		}
		switch {
		case call && everybody:
			c.wake(l, 1<<30)
		case call:
			c.wake(l, 1)
		}
		return
	}
}

// wake wakes n sleepers, for whom woken has been set. If nobody sleeps, the
// marks that say so are taken back.
func (c *Control) wake(l *atomic.Uint32, n int) {
	for vfs.FutexWake(futex(l), n) == 0 {
		w := l.Load()
		switch {
		case w&woken == 0:
			return
		case w&idMask == 0:
			// Nobody fell asleep since the call: who does changes the word, or
			// sleeps on one that has an owner.
			if l.CompareAndSwap(w, w&starved) {
				return
			}
		case l.CompareAndSwap(w, w&^woken):
			return // its owner wakes who fell asleep meanwhile
		}
	}
}

// pause lets a fraction of a microsecond pass.
func pause() {
	for range pauseTurns {
	}
}

// Lock takes the write lock. dead: it was taken over from a member that died with
// it, or a repair after such a death was not completed; the caller then repairs
// the files and calls Repaired, or whoever comes next is told the same.
// It waits until ctx ends; the error then tells who has the lock.
//
// One goroutine of a handle at a time: those of one process wait for each
// other better among themselves.
func (c *Control) Lock(ctx context.Context) (dead bool, err error) {
	if c.left.Load() || !c.b.write.word.CompareAndSwap(0, c.id) {
		return c.lockSlow(ctx)
	}
	return c.b.write.broken.Load() != 0, nil
}

// Locked reports whether somebody has the write lock at present.
func (c *Control) Locked() bool { return c.b.write.word.Load() != 0 }

func (c *Control) lockSlow(ctx context.Context) (dead bool, err error) {
	l := &c.b.write
	_, from, err := c.acquire(ctx, &l.word, wait{watch: true, inherit: true})
	if err != nil {
		return false, c.lockError(l.word.Load()&idMask, err)
	}
	if from != 0 {
		failpoint.Hit("coord.lock.inherited")
		// Who died repairing had not begun anything of its own.
		if l.broken.Load() == 0 {
			l.broken.Store(uint64(from))
		}
		failpoint.Hit("coord.lock.broken")
		c.me().heirOf.Store(0)
	}
	return l.broken.Load() != 0, nil
}

// origin returns whose work the dead owner of the write lock has left: its own, or
// that of the dead one whom it took the lock over from.
func (b *block) origin(id uint32) uint32 {
	if from := b.members[idSlot(id)].heirOf.Load(); from != 0 {
		return uint32(from) & idMask
	}
	return id
}

func (c *Control) lockError(owner uint32, err error) error {
	switch {
	case owner == 0:
		return fmt.Errorf("wait for the write lock: %w", err)
	case owner == c.id:
		return fmt.Errorf("wait for the write lock, held by this very handle: %w", err)
	}
	if m, ok := c.member(idSlot(owner)); ok && m.id == owner {
		return fmt.Errorf("wait for the write lock, held by process %d (%s): %w", m.PID, m.Program, err)
	}
	return fmt.Errorf("wait for the write lock, held by a dead process: %w", err)
}

// Unlock gives the write lock up. REQUIRES: Lock took it.
func (c *Control) Unlock() { c.release(&c.b.write.word, false) }

// Repaired says that the files are in order after a dead writer, and that seq is
// the last write they hold. REQUIRES: the write lock, and Publish of that state.
func (c *Control) Repaired(seq uint64) {
	l := &c.b.write
	if id := l.broken.Load(); id != 0 && id == c.b.leader.id.Load() {
		c.b.leader.cut.Store(seq + 1)
	}
	l.repairedOwner.Store(l.broken.Load())
	l.repairedSeq.Store(seq)
	l.repairs.Add(1)
	failpoint.Hit("coord.repair.noted")
	l.broken.Store(0)
	failpoint.Hit("coord.repair.done")
	// The dead one may have published without telling those who wait.
	c.WakeAll()
}

// Repair tells about the last repair after a dead writer, and how many there
// have been since the first member came.
type Repair struct {
	Seq   uint64
	Count uint64
}

// LastRepair returns it. The two numbers may belong to different ones while a
// repair is going on.
func (c *Control) LastRepair() Repair {
	l := &c.b.write
	return Repair{Seq: l.repairedSeq.Load(), Count: l.repairs.Load()}
}

// LogAlloc returns what SetLogAlloc set last. REQUIRES: the write lock.
func (c *Control) LogAlloc() int64 { return int64(c.b.write.logAlloc.Load()) }

// SetLogAlloc records how far the active log is preallocated.
// REQUIRES: the write lock.
func (c *Control) SetLogAlloc(n int64) { c.b.write.logAlloc.Store(uint64(n)) }
