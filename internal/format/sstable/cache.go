package sstable

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Cache keeps blocks that were read. Its methods may be called by any number
// of goroutines at once; a block is never changed once it is in.
type Cache interface {
	// Get returns the block at offset of file, or nil.
	Get(file, offset uint64) []byte
	// Worth tells whether a block that Get has not found should be Put: while
	// there is room or, since much is read once and not soon again, if it was
	// asked for not long ago, too.
	Worth(file, offset uint64) bool
	// Put may keep a block.
	Put(file, offset uint64, block []byte)
	// Size returns how many bytes the cache takes now.
	Size() int
}

// NewCache returns a cache that keeps about capacity bytes. What was not asked
// for lately goes first.
//
// Blocks are memory as any other: who still holds one that the cache has
// dropped may go on using it. A hit takes no lock.
func NewCache(capacity int) Cache {
	n := 1 << max(bits.Len(uint(max(capacity, 0)>>20))-1, 0)
	c := &clockCache{shards: make([]clockShard, min(n, 64))}
	for i := range c.shards {
		c.shards[i].init(capacity / len(c.shards))
	}
	return c
}

type clockCache struct{ shards []clockShard }

func (c *clockCache) Get(file, offset uint64) []byte {
	h := cacheHash(file, offset)
	return c.shards[h&uint64(len(c.shards)-1)].get(h>>8, file, offset)
}

func (c *clockCache) Worth(file, offset uint64) bool {
	h := cacheHash(file, offset)
	return c.shards[h&uint64(len(c.shards)-1)].worth(h >> 8)
}

func (c *clockCache) Put(file, offset uint64, block []byte) {
	h := cacheHash(file, offset)
	c.shards[h&uint64(len(c.shards)-1)].put(h>>8, file, offset, block)
}

func (c *clockCache) Size() (n int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += s.used
		s.mu.Unlock()
	}
	return n
}

func cacheHash(file, offset uint64) uint64 {
	hi, lo := bits.Mul64(file^0x9e3779b97f4a7c15, offset^0xd1b54a32d192ed03)
	return (hi ^ lo) * 0x9e3779b97f4a7c15 >> 8
}

// clockShard is a hash table with chains, and a clock that tells what goes.
// Chains are changed under mu and read without: an entry that is taken out
// still leads on to those behind it.
type clockShard struct {
	buckets []atomic.Pointer[cacheEntry] // constant; a power of two of them

	// wanted are the blocks that were asked for lately and were not there, a bit
	// for each by its hash; misses counts them. full is set while there is no
	// room. All are hints.
	wanted []atomic.Uint32
	misses atomic.Uint32
	full   atomic.Bool

	mu       sync.Mutex
	ring     []*cacheEntry
	hand     int
	used     int
	capacity int
}

type cacheEntry struct {
	file, offset uint64
	block        []byte
	bucket       uint64
	next         atomic.Pointer[cacheEntry]
	asked        atomic.Bool // since the hand was last here
}

const (
	cacheEntrySize  = 96   // about, with what points to it
	usualCacheEntry = 4096 // there is about one bucket for each
)

func (s *clockShard) init(capacity int) {
	s.capacity = capacity
	s.buckets = make([]atomic.Pointer[cacheEntry], 1<<bits.Len(uint(max(capacity, 0)/usualCacheEntry)))
	s.wanted = make([]atomic.Uint32, max(len(s.buckets)/4, 1)) // eight bits for each block
}

func (s *clockShard) worth(hash uint64) bool {
	if !s.full.Load() {
		return true
	}
	// Forget from time to time: as many misses as there is room for blocks.
	if s.misses.Add(1) > uint32(len(s.buckets)) {
		s.misses.Store(0)
		for i := range s.wanted {
			s.wanted[i].Store(0)
		}
	}
	hash >>= 24
	word, bit := &s.wanted[hash/32%uint64(len(s.wanted))], uint32(1)<<(hash%32)
	return word.Or(bit)&bit != 0
}

func (s *clockShard) get(hash, file, offset uint64) []byte {
	for e := s.buckets[hash&uint64(len(s.buckets)-1)].Load(); e != nil; e = e.next.Load() {
		if e.file == file && e.offset == offset {
			if !e.asked.Load() { // a store would take the line from other readers
				e.asked.Store(true)
			}
			return e.block
		}
	}
	return nil
}

func (s *clockShard) put(hash, file, offset uint64, block []byte) {
	size := cap(block) + cacheEntrySize
	if size > s.capacity {
		return
	}
	e := &cacheEntry{file: file, offset: offset, block: block, bucket: hash & uint64(len(s.buckets)-1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.get(hash, file, offset) != nil {
		return // two read it at once
	}
	for s.used+size > s.capacity {
		s.full.Store(true)
		s.evictLocked()
	}
	s.used += size
	s.ring = append(s.ring, e)
	head := &s.buckets[e.bucket]
	e.next.Store(head.Load())
	head.Store(e)
}

// evictLocked takes out the first entry from the hand on that nobody asked for
// since the hand was there. REQUIRES: there are entries.
func (s *clockShard) evictLocked() {
	for {
		if s.hand >= len(s.ring) {
			s.hand = 0
		}
		e := s.ring[s.hand]
		if e.asked.Swap(false) {
			s.hand++
			continue
		}
		end := len(s.ring) - 1
		s.ring[s.hand] = s.ring[end]
		s.ring[end] = nil
		s.ring = s.ring[:end]
		s.used -= cap(e.block) + cacheEntrySize
		link := &s.buckets[e.bucket]
		for link.Load() != e {
			link = &link.Load().next
		}
		link.Store(e.next.Load())
		return
	}
}
