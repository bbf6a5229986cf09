package coord

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/store"
)

// Member is a handle that has the database open.
type Member struct {
	PID      int
	Program  string
	Since    time.Time
	Pin      uint64 // the oldest version it uses; 0 protects every file
	Counters [counters]uint64
	Leader   bool
	Self     bool

	id uint32
}

// alive reports whether the member of that id is.
func (c *Control) alive(id uint32) bool {
	if id == c.id {
		return true
	}
	if c.lock == nil {
		return false // private: whoever it is does not exist
	}
	i := idSlot(id)
	if !c.slotAlive(i) {
		return false
	}
	// The lock first: whoever takes the slot of a dead member changes the
	// generation before the lock.
	return c.b.members[i].generation.Load() == idGeneration(id)
}

// slotAlive reports whether a living member has the slot.
func (c *Control) slotAlive(i int) bool {
	if i == c.slot {
		return true
	}
	if c.lock == nil {
		return false
	}
	_, held, err := c.lock.Held(slotByte+int64(i), 1)
	// What cannot be told is taken for alive: the other mistake breaks data.
	return held || err != nil
}

// used returns how many slots have to be looked at.
func (c *Control) used() int { return int(min(c.b.head.used.Load(), maxMembers)) }

// member returns who has a slot.
func (c *Control) member(i int) (m Member, ok bool) {
	s := &c.b.members[i]
	generation := s.generation.Load()
	if !c.slotAlive(i) {
		return m, false
	}
	m = Member{
		PID:     int(s.pid.Load()),
		Program: s.programName(),
		Since:   time.UnixMilli(int64(s.since.Load())),
		Pin:     s.pin.Load(),
		Self:    i == c.slot,
		id:      memberID(i, generation),
	}
	for j := range m.Counters {
		m.Counters[j] = s.counters[j].Load()
	}
	m.Leader = c.b.leader.id.Load() == uint64(m.id)
	return m, s.generation.Load() == generation // or it has just been taken anew
}

// Members returns who is in.
func (c *Control) Members() []Member {
	var list []Member
	for i := range c.used() {
		if m, ok := c.member(i); ok {
			list = append(list, m)
		}
	}
	return list
}

// SetPin says that the member uses no version older than the one given.
func (c *Control) SetPin(version uint64) { c.me().pin.Store(version) }

// OldestPin returns the oldest version that any member uses; 0: they may use any.
// To find what files can go, first list those that the current version lacks, and
// then ask: who joins later cannot use them.
func (c *Control) OldestPin() uint64 {
	oldest := uint64(math.MaxUint64)
	for i := range c.used() {
		// The test first: a joiner's pin is 0 before it counts as alive.
		if c.slotAlive(i) {
			oldest = min(oldest, c.b.members[i].pin.Load())
		}
	}
	return oldest
}

// Count adds n to one of the member's counters, of which there are 16.
func (c *Control) Count(counter int, n uint64) { c.me().counters[counter].Add(n) }

func (c *Control) me() *slot { return &c.b.members[c.slot] }

func (s *slot) setProgram(name string) {
	var b [40]byte
	copy(b[:], name)
	for i := range s.program {
		s.program[i].Store(binary.LittleEndian.Uint64(b[8*i:]))
	}
}

func (s *slot) programName() string {
	var b [40]byte
	for i := range s.program {
		binary.LittleEndian.PutUint64(b[8*i:], s.program[i].Load())
	}
	n := 0
	for n < len(b) && b[n] != 0 {
		n++
	}
	return string(b[:n])
}

// TryLead makes the member the leader, if there is none. It stays it until it
// resigns, leaves or dies. It does not wait. The others see it from Announce on.
func (c *Control) TryLead() (bool, error) {
	c.leading.Lock()
	defer c.leading.Unlock()
	if c.left.Load() {
		return false, store.ErrClosed
	}
	if c.isLeader {
		return true, nil
	}
	if ok, err := c.tryByte(leaderByte); !ok {
		return false, err
	}
	failpoint.Hit("coord.lead.taken")
	c.isLeader = true
	return true, nil
}

// Announce tells the others who leads. REQUIRES: TryLead; and what LeaderCut
// tells of the leader before is no longer needed.
func (c *Control) Announce() {
	l := &c.b.leader
	l.since.Store(uint64(time.Now().UnixMilli()))
	l.id.Store(uint64(c.id))
	failpoint.Hit("coord.lead.named")
	l.cut.Store(0)
}

// Resign lets another member be the leader.
func (c *Control) Resign() {
	c.leading.Lock()
	defer c.leading.Unlock()
	if !c.isLeader {
		return
	}
	c.isLeader = false
	c.b.leader.id.CompareAndSwap(uint64(c.id), 0)
	failpoint.Hit("coord.resign.unnamed")
	if c.lock != nil {
		_ = c.lock.Unlock(leaderByte) // if not, the end of the handle does it
	}
}

// Leader returns the leader, if there is one.
func (c *Control) Leader() (Member, bool) {
	id := c.b.leader.id.Load()
	if id == 0 || id > idMask || !c.alive(uint32(id)) {
		return Member{}, false
	}
	m, ok := c.member(idSlot(uint32(id)))
	return m, ok && m.id == uint32(id)
}

// LeaderSince returns since when the last leader has been it.
func (c *Control) LeaderSince() time.Time { return time.UnixMilli(int64(c.b.leader.since.Load())) }
