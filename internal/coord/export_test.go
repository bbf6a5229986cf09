package coord

import (
	"context"
	"time"
)

const (
	BlockSize  = blockSize
	MaxMembers = maxMembers
	SlotByte   = slotByte
	MemberByte = memberByte
	JoinByte   = joinByte
)

// Owner returns the slot of who holds the write lock, -1 if it is free.
func (c *Control) Owner() int {
	w := c.b.write.word.Load()
	if w&idMask == 0 {
		return -1
	}
	return idSlot(w)
}

// Slot returns the member's slot.
func (c *Control) Slot() int { return c.slot }

// LockWord returns the write lock, marks and all.
func (c *Control) LockWord() uint32 { return c.b.write.word.Load() }

// SetGeneration sets that of a slot.
func (c *Control) SetGeneration(slot int, generation uint32) {
	c.b.members[slot].generation.Store(generation)
}

// Generation returns that of the member.
func (c *Control) Generation() uint32 { return idGeneration(c.id) }

// DurableLen returns how far the log is known to be durable.
var DurableLen = (*Control).durableLen

// SetLongestSleep sets it, and returns what sets it back.
func SetLongestSleep(d time.Duration) (restore func()) {
	before := longestSleep
	longestSleep = d
	return func() { longestSleep = before }
}

// MemberSlot returns the slot of a member.
func MemberSlot(m Member) int { return idSlot(m.id) }

// TakeSyncLock takes the sync lock, whose owner must be dead, and gives it up.
func (c *Control) TakeSyncLock(ctx context.Context) (bool, error) {
	_, dead, err := c.acquire(ctx, &c.b.sync.word, wait{})
	if err == nil {
		c.release(&c.b.sync.word, true)
	}
	return dead != 0, err
}

// SetSyncOwner makes a member the owner of the sync lock.
func (c *Control) SetSyncOwner(slot int, generation uint32) {
	c.b.sync.word.Store(memberID(slot, generation))
}

// DieTakingOver leaves what a member leaves that dies while it takes the write
// lock over, before it has said from whom.
func (c *Control) DieTakingOver() {
	w := c.b.write.word.Load()
	c.me().heirOf.Store(uint64(c.b.origin(w & idMask)))
	if !c.b.write.word.CompareAndSwap(w, c.id) {
		panic("not alone")
	}
	_ = c.shm.Close()
	_ = c.lock.Close()
	c.released = true
}
