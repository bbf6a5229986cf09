package coord

import (
	"sync/atomic"
	"unsafe"
)

// party.shm, as every member maps it. Numbers are in the machine's byte order,
// the file never leaves the machine's memory alive. Cache lines have 64 bytes;
// what is written often has lines of its own.
//
//	offset  size  what                          changed under
//	0       64    head: what this file is       join lock
//	64      64    hot: flip word, half a state  write lock
//	128     128   the other half of state 0     write lock
//	256     128   the other half of state 1     write lock
//	384     64    write lock                    itself
//	448     64    bell                          nobody's lock
//	512     64    sync lock                     itself
//	576     64    counters of files             nobody's lock
//	640     64    leader                        leader lock
//	704     3392  zero
//	4096    256   slot 0                        its member
//	...
//	266240        end
//
// The file is made by the first member to come (nobody else is alive), under the
// join lock, under another name, and renamed when its head is complete; what an
// earlier file of that name held is not read. So nobody maps a file that is
// half made, and what a crash leaves matters only while others live on.
//
// All words are accessed atomically. "Reads" below names who reads without the
// lock.
const (
	// magic begins the file: "partyshm". Never change.
	magic = 0x6d68737974726170
	// layoutVersion is that of all below the magic, and of the meaning of the
	// locks. Members of different versions cannot be in together.
	layoutVersion = 1

	maxMembers = 1 << slotBits
	blockSize  = 4096 + maxMembers*256
	counters   = 16
)

// block is the file.
type block struct {
	head    head
	hot     hot
	cold    [2]cold
	write   writeLock
	bell    bell
	sync    syncLock
	files   files
	leader  leader
	_       [3392]byte
	members [maxMembers]slot
}

// head is written before the file has its name, but for ready, used and failed.
type head struct {
	magic   atomic.Uint64
	version atomic.Uint64
	size    atomic.Uint64
	// options is the hash of the options that all members must agree on.
	options atomic.Uint64

	// ready is 1 since the first member has recovered the database. Changed by
	// that one, under the join lock, once. Read by joiners, under it.
	ready atomic.Uint64

	// used is one more than the highest slot that was ever taken. Changed by
	// joiners, under the join lock, before the slot is theirs; never falls. Read by
	// all, to know where to stop looking.
	used atomic.Uint64

	// failed is 0, or why nobody may write any more: a FailCode, and the
	// process's id in the high half. Changed by anybody, from 0, once. Read by
	// all before they write. Whoever dies between a failure and telling leaves
	// it 0; nobody had been told yet that those writes are durable, and the
	// kernel reports a failed sync once to everybody who has the file open.
	failed atomic.Uint64

	// trouble is 0, or the system's number of the error for which the leader
	// cannot write tables at present. Changed by the leader. Read by writers that
	// wait for it. A crash leaves it; the next leader tries, and sets it anew.
	trouble atomic.Uint64
}

// hot has the words of the two states that change with every write, so that a
// reader who is up to date touches one line that others write.
//
// The state that is valid is number flip&1. Publish writes the other one and
// then adds 1 to flip. A crash half-way leaves the other one garbage, which is
// what it was before. A reader loads flip, the state, and flip again: if it is
// the same, nobody has begun to write the state that was read, since whoever
// writes it has added 1 before.
type hot struct {
	// flip: changed by Publish, under the write lock. Read by all. WaitSeq
	// sleeps on it.
	flip atomic.Uint32

	// watched is 1 if somebody may sleep on flip. Set by sleepers, without a
	// lock; cleared by Publish, which then wakes all of them, and those that want
	// more set it again: no count that the dead could leave too high.
	watched atomic.Uint32

	// As flip says.
	seq    [2]atomic.Uint64
	epoch  [2]atomic.Uint64
	logLen [2]atomic.Uint64
	_      [8]byte
}

// cold has the other words of one state: see hot.
type cold struct {
	log, immLog, immLen, immSeq atomic.Uint64
	manifest, manifestLen       atomic.Uint64
	version, level0             atomic.Uint64
	_                           [64]byte
}

// writeLock is what a writer touches beside the state.
type writeLock struct {
	// word is the lock: see lock.go. Changed by all who want it. A crash leaves
	// the dead owner's id in it, by which the next one knows.
	word atomic.Uint32
	_    [4]byte

	// All below is changed and read under the lock, and a crash leaves it as it
	// was: each is one word.

	// broken is the id of a dead owner whose lock was taken over, until the
	// files are repaired. If the repairer dies, or gives up, the next one
	// repairs.
	broken atomic.Uint64
	// rung is the epoch for which the bell was rung last. Publish rings for what
	// its dead predecessor published and did not tell.
	rung atomic.Uint64
	// logAlloc is how far the active log is preallocated.
	logAlloc atomic.Uint64

	// The last repair: whose, up to which sequence number, and how many there
	// have been. Read by all, for information.
	repairedOwner, repairedSeq, repairs atomic.Uint64
	_                                   [8]byte
}

// bell wakes those who wait for anything but a write.
type bell struct {
	// word is added to by whoever rings. Whoever dies before that leaves the
	// sleepers to the time they have set themselves.
	word atomic.Uint32
	_    [60]byte
}

// syncLock is held by who makes a log durable for all.
type syncLock struct {
	// word is the lock: see lock.go. A crash leaves the dead owner's id; what it
	// wanted to make durable the next one does again.
	word atomic.Uint32
	_    [4]byte

	// durable says how far which logs are durable: the active and the immutable
	// one. Changed under the lock. Read by all: see durableLen. An entry goes over
	// to another log by way of length 0, which is what a crash leaves.
	durable [2]struct{ log, length atomic.Uint64 }

	// dirLog is the newest log whose name is durable. Changed by anybody, it
	// only grows. Read by all.
	dirLog atomic.Uint64
	_      [16]byte
}

// files has the words that need no lock.
type files struct {
	// next is the file number to be given out next. Added to by anybody. A crash
	// loses a number, which hurts nobody.
	next atomic.Uint64
	// hints are tables that were looked into in vain too often: level << 56 |
	// number, 0 none. Set by anybody, taken by the leader. A crash loses a hint.
	hints [2]atomic.Uint64
	_     [40]byte
}

// leader says who holds the leader lock, for information.
type leader struct {
	// id of the leader, 0 none, and since when, in milliseconds of Unix. Changed
	// under the leader lock. Read by all, who test whether that member is alive:
	// a crash leaves the dead one's.
	id, since atomic.Uint64

	// cut is 0 or, if that leader died inside the write lock, one more than the
	// sequence number at which the repair has left the database: what the leader
	// had begun beyond it, it had not done. Changed under the write lock by who
	// repairs, and with id by the next leader, which reads it before.
	cut atomic.Uint64
	_   [40]byte
}

// slot is one member. Joiners change the slot of a dead member, under the join
// lock, before its lock byte is theirs; from then on the member changes it. All
// others read it. A crash leaves it as it was, and its lock byte free.
type slot struct {
	// generation tells the members apart that had this slot one after the other.
	// Changed before the lock byte is taken, so that no joiner makes a dead
	// member look alive.
	generation atomic.Uint32
	_          [4]byte
	pid        atomic.Uint64
	since      atomic.Uint64 // milliseconds of Unix
	// pin is the oldest version the member uses; 0, as in the beginning, protects
	// every file.
	pin     atomic.Uint64
	program [5]atomic.Uint64 // bytes, zeros behind them
	// heirOf is the id of a dead owner of the write lock, while the member takes
	// it over from that one: until it is in writeLock.broken. Whoever finds the
	// member dead with the lock reads it; so nobody takes the slot till then.
	heirOf atomic.Uint64
	_      [48]byte

	counters [counters]atomic.Uint64
}

// Sizes and offsets, pinned.
var (
	_ [blockSize]byte = [unsafe.Sizeof(block{})]byte{}
	_ [0]byte         = [unsafe.Offsetof(block{}.head)]byte{}
	_ [64]byte        = [unsafe.Offsetof(block{}.hot)]byte{}
	_ [128]byte       = [unsafe.Offsetof(block{}.cold)]byte{}
	_ [384]byte       = [unsafe.Offsetof(block{}.write)]byte{}
	_ [448]byte       = [unsafe.Offsetof(block{}.bell)]byte{}
	_ [512]byte       = [unsafe.Offsetof(block{}.sync)]byte{}
	_ [576]byte       = [unsafe.Offsetof(block{}.files)]byte{}
	_ [640]byte       = [unsafe.Offsetof(block{}.leader)]byte{}
	_ [4096]byte      = [unsafe.Offsetof(block{}.members)]byte{}

	_ [64]byte  = [unsafe.Sizeof(hot{})]byte{}
	_ [128]byte = [unsafe.Sizeof(cold{})]byte{}
	_ [256]byte = [unsafe.Sizeof(slot{})]byte{}
	_ [128]byte = [unsafe.Offsetof(slot{}.counters)]byte{}
	_ [8]byte   = [unsafe.Offsetof(hot{}.seq)]byte{}
	_ [16]byte  = [unsafe.Offsetof(head{}.size)]byte{}
)

// A member's id: slot and generation. 0 is nobody's.
const (
	slotBits       = 10
	generationBits = 19
	idBits         = slotBits + generationBits
	idMask         = 1<<idBits - 1
)

func memberID(slot int, generation uint32) uint32 { return generation<<slotBits | uint32(slot) }

func idSlot(id uint32) int { return int(id & (1<<slotBits - 1)) }

func idGeneration(id uint32) uint32 { return id & idMask >> slotBits }
