//go:build linux

package soak

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// board is a mapped file in which every process writes down what it is about to
// do, and then that it was acknowledged. It outlives them: whoever reads the
// database, in whatever process, knows what may be there and what must.
//
// It consists of words of 8 bytes, little-endian:
//
//	0                                      Node processes started since all were last dead
//	1                                      eras begun: an era ends when all are dead
//	2                                      the last era in which there was a Node process
//	3                                      bytes written to the database
//	4                                      the last era in which a Node process led
//	16 + slot                              the slot's generation
//	32 + c                                 what counter c had when all were last dead, less what was acknowledged by then
//	64 + 2 (c + slot sharedCounters)       increments of counter c by the slot: intended, acknowledged
//	256 + 2 (e + marks (gen%4 + 4 slot))   writes of entry e by the slot's generation: intended, acknowledged
//
// A slot is the place of one process; when that has gone the next one in it has
// the next generation, with keys of its own, because a write that was under way
// may yet take effect. A generation's words and keys are kept until the one after
// the next begins. A word is written by one process at a time.
//
// interop/soak.js writes and reads it, too.
type board struct {
	path string
	mem  []byte
}

const (
	slots          = 8
	sharedCounters = 4

	wordNodes   = 0
	wordEra     = 1
	wordNodeEra = 2
	wordBytes   = 3
	wordNodeLed = 4
	wordGen     = 16
	wordBase    = 32
	wordShared  = 64
	wordMarks   = 256

	// The entries of a generation.
	ownKeys   = 12 // from 0 on
	markBatch = 12
	markCount = 13
	marks     = 16

	boardWords = wordMarks + 2*marks*4*slots
)

// openBoard maps the board, which it makes if there is none.
func openBoard(path string) (*board, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(8 * boardWords); err != nil {
		return nil, err
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, 8*boardWords, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return &board{path, mem}, nil
}

func (b *board) close() { _ = unix.Munmap(b.mem) }

// word returns a word. Node writes words as files are written, on machines where
// that is little-endian.
func (b *board) word(i int) *atomic.Uint64 { return (*atomic.Uint64)(unsafe.Pointer(&b.mem[8*i])) }

// get returns the value of a word. A write by Node may be seen in parts: what
// counts has been read twice.
func (b *board) get(i int) uint64 {
	for last := b.word(i).Load(); ; {
		now := b.word(i).Load()
		if now == last {
			return now
		}
		last = now
	}
}

func (b *board) set(i int, v uint64) { b.word(i).Store(v) }

// mark is what was intended and acknowledged of something that is done again and
// again, each time with the next number.
type mark struct {
	b *board
	i int
}

// mark returns that of an entry of a slot's generation.
func (b *board) mark(slot int, gen uint64, entry int) mark {
	return mark{b, wordMarks + 2*(entry+marks*(int(gen%4)+4*slot))}
}

// shared returns that of a slot's increments of a shared counter.
func (b *board) shared(slot, counter int) mark {
	return mark{b, wordShared + 2*(counter+slot*sharedCounters)}
}

func (m mark) intent() uint64     { return m.b.get(m.i) }
func (m mark) acked() uint64      { return m.b.get(m.i + 1) }
func (m mark) intend(n uint64)    { m.b.set(m.i, n) }
func (m mark) ack(n uint64)       { m.b.set(m.i+1, n) }
func (b *board) gen(s int) uint64 { return b.get(wordGen + s) }

// begin begins the next generation of a slot in which nobody lives.
func (b *board) begin(slot int) uint64 {
	gen := b.gen(slot) + 1
	for e := range marks {
		m := b.mark(slot, gen, e)
		m.intend(0)
		m.ack(0)
	}
	b.set(wordGen+slot, gen)
	return gen
}

// holds reports whether a generation's words and keys are kept.
func (b *board) holds(slot int, gen uint64) bool {
	now := b.gen(slot)
	return gen > 0 && gen <= now && now-gen <= 1
}

// nodes reports whether there was a Node process since all were last dead: it may
// have led.
func (b *board) nodes() bool { return b.get(wordNodes) > 0 }

// nodeLed reports whether a Node process has led since all were last dead.
func (b *board) nodeLed() bool { return b.get(wordNodeLed) == b.get(wordEra) }

// counted returns what a shared counter must be at least, and what it may be at
// most if that is asked after the counter was read.
func (b *board) counted(c int) (least, most uint64) {
	least, most = b.get(wordBase+c), b.get(wordBase+c)
	for slot := range slots {
		m := b.shared(slot, c)
		least += m.acked()
		most += m.intent()
	}
	return least, most
}

// settle takes the value of a shared counter for granted, with nobody alive.
func (b *board) settle(c int, value uint64) {
	for slot := range slots {
		m := b.shared(slot, c)
		m.intend(m.acked())
		value -= m.acked()
	}
	b.set(wordBase+c, value)
}

func littleEndian() bool { return binary.NativeEndian.Uint16([]byte{1, 0}) == 1 }
