package coord

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/vfs"
)

const (
	// Name is the name of the control block's file. It is there while members
	// are, or after all of them were killed.
	Name     = "party.shm"
	tempName = Name + ".tmp"
	lockName = "LOCK"
)

// Bytes of the LOCK file: see the package comment. Never change.
const (
	memberByte = 0
	joinByte   = 1
	leaderByte = 2
	slotByte   = 64
)

// Config is what a member brings along.
type Config struct {
	// Program is shown to others; 40 bytes of it.
	Program string
	// OptionsHash is the hash of all options that the members must agree on.
	OptionsHash uint64
}

// Control is a member: its part in the control block and its locks.
type Control struct {
	// Constant after Open.
	b    *block
	id   uint32
	slot int
	dir  string
	lock *vfs.LockFile // nil: private
	shm  *os.File      // flocked: see create

	syncing chan struct{} // holds one while a goroutine of the handle syncs
	ending  atomic.Bool   // see EndWaits
	left    atomic.Bool

	leading  sync.Mutex
	isLeader bool // guarded by leading

	leaving  sync.Mutex
	joining  bool // guarded by leaving: the join lock is ours since Open
	released bool // guarded by leaving
}

// Private returns the only member of a block of its own, in this process's
// memory: for who shares with nobody. It works on every system.
func Private() *Control {
	c := &Control{b: new(block), syncing: make(chan struct{}, 1)}
	c.takeSlot(0, Config{})
	c.b.head.ready.Store(1)
	return c
}

// Open makes the process a member of those who have dir, which must exist, open.
//
// first: nobody else is in. The block is empty and the join lock is held: recover
// the database, Publish its state, and call Joined. Or Close, if that fails.
//
// store.ErrLocked: somebody who does not share has the database open. An
// errors.ErrUnsupported: memory cannot be shared here. It waits for who is just
// joining, recovering or leaving, until ctx ends.
func Open(ctx context.Context, dir string, cfg Config) (c *Control, first bool, err error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, false, err
	}
	if ok, why := vfs.SharedMemoryWorks(dir); !ok {
		return nil, false, fmt.Errorf("share memory in %s: %s: %w", dir, why, errors.ErrUnsupported)
	}
	lock, err := lockDir(ctx, dir)
	if err != nil {
		return nil, false, err
	}
	failpoint.Hit("coord.join.locked")
	c = &Control{dir: dir, lock: lock, syncing: make(chan struct{}, 1), joining: true}
	_, others, err := lock.Held(slotByte, maxMembers)
	first = !others
	var mem []byte
	if err == nil {
		if first {
			mem, err = c.create(ctx, cfg)
		} else {
			mem, err = c.attach(cfg)
		}
	}
	if err == nil {
		c.b = (*block)(unsafe.Pointer(unsafe.SliceData(mem)))
		err = vfs.Guard(func() error { return c.join(cfg, first) })
		if err != nil {
			err = errors.Join(err, vfs.Unmap(mem))
		}
	}
	failpoint.Hit("coord.join.slot")
	if err == nil && !first {
		c.joining = false
		err = lock.Unlock(joinByte)
	}
	if err != nil {
		if c.shm != nil {
			c.shm.Close()
		}
		return nil, false, errors.Join(err, lock.Close())
	}
	// Not when the member leaves: a goroutine that is late could then write to
	// what another file's mapping has become.
	runtime.AddCleanup(c, func(mem []byte) { _ = vfs.Unmap(mem) }, mem)
	return c, first, nil
}

// Occupied reports whether anybody is a member of those who have dir open. It
// changes nothing there.
func Occupied(dir string) (bool, error) {
	lock, err := vfs.OpenLockFile(filepath.Join(dir, lockName))
	if err != nil {
		return false, err
	}
	_, held, err := lock.Held(slotByte, maxMembers)
	return held, errors.Join(err, lock.Close())
}

// joinPoll is how often who waits for the join lock tries.
const joinPoll = 2 * time.Millisecond

// lockDir takes the locks of a member, and the join lock.
func lockDir(ctx context.Context, dir string) (*vfs.LockFile, error) {
	path := filepath.Join(dir, lockName)
	for {
		lock, err := vfs.OpenLockFile(path)
		if err != nil {
			return nil, err
		}
		err = lock.TryLock(memberByte, true)
		if err == nil {
			err = lock.TryFlock(true)
		}
		if errors.Is(err, vfs.ErrHeld) {
			err = fmt.Errorf("%s: %w", path, store.ErrLocked)
		}
		if err == nil {
			err = waitJoin(ctx, lock, path)
		}
		if err == nil && lock.Named(path) {
			return lock, nil
		}
		if closeErr := lock.Close(); err != nil {
			return nil, errors.Join(err, closeErr)
		}
		// Somebody removed the file between our open and our lock, as LevelDB's
		// DestroyDB does. Others will lock another one.
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// waitJoin takes the join lock.
func waitJoin(ctx context.Context, lock *vfs.LockFile, path string) error {
	for {
		err := lock.TryLock(joinByte, false)
		if !errors.Is(err, vfs.ErrHeld) {
			return err
		}
		// A lock on more than that byte is not one of ours: somebody reads the
		// database and wants nobody to write.
		r, held, err := lock.Held(joinByte, 1)
		if err != nil {
			return err
		}
		if held && (r.First != joinByte || r.Size != 1) {
			return fmt.Errorf("%s: %w", path, store.ErrLocked)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: another process is opening or closing the database: %w", path, ctx.Err())
		case <-time.After(joinPoll):
		}
	}
}

// forkGrace is how long a dead member's flock may outlive it: until a child
// that it was about to start has come to its exec.
const forkGrace = time.Second

// create makes the block of the first member. REQUIRES: the join lock.
func (c *Control) create(ctx context.Context, cfg Config) (mem []byte, err error) {
	path, temp := filepath.Join(c.dir, Name), filepath.Join(c.dir, tempName)
	// Who removes the LOCK file of living members lets us in beside them, and two
	// groups of members would destroy the database. All members hold an flock on
	// their block, too.
	cut := uint64(0)
	if old, err := vfs.OpenRegular(path, false); err == nil {
		defer old.Close()
		for deadline := time.Now().Add(forkGrace); ; time.Sleep(joinPoll) {
			err := vfs.FlockFile(old, false)
			if err == nil {
				break
			}
			if !errors.Is(err, vfs.ErrHeld) || time.Now().After(deadline) || ctx.Err() != nil {
				return nil, fmt.Errorf("%s: %w: it is in use, but not by those who hold the LOCK file", path, ErrBlockLost)
			}
		}
		cut = readCut(old)
	}
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	f, err := vfs.OpenRegular(temp, true)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(temp)
			if mem != nil {
				err = errors.Join(err, vfs.Unmap(mem))
			}
		}
	}()
	if err := vfs.FlockFile(f, true); err != nil {
		return nil, err
	}
	failpoint.Hit("coord.block.created")
	err = vfs.Allocate(f, 0, blockSize)
	if errors.Is(err, vfs.ErrNotSupported) {
		_, err = f.WriteAt(make([]byte, blockSize), 0)
	}
	if err != nil {
		return nil, err
	}
	if mem, err = vfs.MapShared(f, blockSize); err != nil {
		return nil, err
	}
	err = vfs.Guard(func() error {
		b := (*block)(unsafe.Pointer(unsafe.SliceData(mem)))
		b.leader.cut.Store(cut)
		h := &b.head
		h.magic.Store(magic)
		h.version.Store(layoutVersion)
		h.size.Store(blockSize)
		h.options.Store(cfg.OptionsHash)
		return nil
	})
	failpoint.Hit("coord.block.filled")
	if err == nil {
		err = os.Rename(temp, path)
	}
	failpoint.Hit("coord.block.renamed")
	if err != nil {
		return mem, err
	}
	c.shm = f
	return mem, nil
}

// attach maps the block of those who are in, if it is one, and theirs.
func (c *Control) attach(cfg Config) (mem []byte, err error) {
	path := filepath.Join(c.dir, Name)
	f, err := vfs.OpenRegular(path, false)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: somebody removed it", path, ErrBlockLost)
	}
	if err != nil {
		return nil, err
	}
	if err = vfs.FlockFile(f, true); err == nil {
		mem, err = c.check(f, path, cfg)
	} else if errors.Is(err, vfs.ErrHeld) {
		err = fmt.Errorf("%s: %w: it is locked", path, ErrBlockLost)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	c.shm = f
	return mem, nil
}

func (c *Control) check(f *os.File, path string, cfg Config) ([]byte, error) {
	damaged := func(at int64, reason string) error {
		return &format.Corruption{File: path, Offset: at, Reason: reason}
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// What comes before the version never changes, and a file of another version
	// may be of any size.
	var h struct{ magic, version, size, options uint64 }
	if err := readWords(f, &h.magic, &h.version, &h.size, &h.options); err != nil || h.magic != magic {
		return nil, damaged(0, "no control block, though members are in")
	}
	if h.version != layoutVersion {
		return nil, fmt.Errorf("%s: version %d, this program's is %d: %w", path, h.version, layoutVersion, ErrLayout)
	}
	if h.size != blockSize || info.Size() != blockSize {
		return nil, damaged(16, fmt.Sprintf("size %d in a file of %d, want %d", h.size, info.Size(), blockSize))
	}
	failpoint.Hit("coord.block.checked")
	if h.options != cfg.OptionsHash {
		return nil, fmt.Errorf("%s: options %016x, this program's are %016x: %w", path, h.options, cfg.OptionsHash, ErrOptions)
	}
	return vfs.MapShared(f, blockSize)
}

// readWords reads the words f begins with.
func readWords(f *os.File, words ...*uint64) error {
	b := make([]byte, 8*len(words))
	if _, err := f.ReadAt(b, 0); err != nil {
		return err
	}
	for i, w := range words {
		*w = binary.NativeEndian.Uint64(b[8*i:])
	}
	return nil
}

// join takes a slot. REQUIRES: the join lock.
func (c *Control) join(cfg Config, first bool) error {
	if !first && c.b.head.ready.Load() != 1 {
		return &format.Corruption{File: filepath.Join(c.dir, Name), Offset: 32, Reason: "not ready, though members are in"}
	}
	for i := range maxMembers {
		if _, held, err := c.lock.Held(slotByte+int64(i), 1); err != nil {
			return err
		} else if held || c.b.ownsWriteLock(i) {
			continue
		}
		c.takeSlot(i, cfg)
		failpoint.Hit("coord.slot.prepared")
		err := c.lock.TryLock(slotByte+int64(i), false)
		if !errors.Is(err, vfs.ErrHeld) {
			return err
		}
	}
	return fmt.Errorf("%s: all %d slots are taken: %w", c.dir, maxMembers, ErrFull)
}

// takeSlot prepares a slot whose member is dead. All of it before its lock byte
// says that it is alive.
func (c *Control) takeSlot(i int, cfg Config) {
	s := &c.b.members[i]
	generation := s.generation.Load()
	for {
		generation = (generation + 1) & (1<<generationBits - 1)
		c.slot, c.id = i, memberID(i, generation)
		if generation != 0 && !c.b.mentions(c.id) {
			break
		}
	}
	s.generation.Store(generation)
	s.heirOf.Store(0)
	s.pin.Store(0)
	s.pid.Store(uint64(os.Getpid()))
	s.since.Store(uint64(time.Now().UnixMilli()))
	s.setProgram(cfg.Program)
	for j := range s.counters {
		s.counters[j].Store(0)
	}
	raise(&c.b.head.used, uint64(i+1))
}

// ownsWriteLock reports whether the dead member of a slot has left it locked.
func (b *block) ownsWriteLock(i int) bool {
	id := b.write.word.Load() & idMask
	return id != 0 && id == memberID(i, b.members[i].generation.Load())
}

// mentions reports whether the dead left that id anywhere: generations come
// round after half a million members.
func (b *block) mentions(id uint32) bool {
	return b.write.word.Load()&idMask == id || b.sync.word.Load()&idMask == id ||
		b.write.broken.Load() == uint64(id) || b.leader.id.Load() == uint64(id)
}
