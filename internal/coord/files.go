package coord

import (
	"sync/atomic"

	"github.com/levelparty/party/internal/format"
)

// raise makes the word v if it is less.
func raise(w *atomic.Uint64, v uint64) {
	for {
		old := w.Load()
		if old >= v || w.CompareAndSwap(old, v) {
			return
		}
	}
}

// NextFile gives out a file number that nobody else is given.
func (c *Control) NextFile() format.FileNum { return format.FileNum(c.b.files.next.Add(1) - 1) }

// PeekNextFile returns the number that NextFile will give out next.
func (c *Control) PeekNextFile() format.FileNum { return format.FileNum(c.b.files.next.Load()) }

// EnsureNextFile makes NextFile give out n or more.
func (c *Control) EnsureNextFile(n format.FileNum) { raise(&c.b.files.next, uint64(n)) }

// Hint tells the leader that a table was looked into in vain too often. Hints
// may get lost.
func (c *Control) Hint(level int, table format.FileNum) {
	v := uint64(level)<<56 | uint64(table)&(1<<56-1)
	for i := range c.b.files.hints {
		if h := &c.b.files.hints[i]; h.Load() == v || h.CompareAndSwap(0, v) {
			return
		}
	}
}

// TakeHint returns a hint, if there is one, and forgets it. Check it: the table
// may be gone.
func (c *Control) TakeHint() (level int, table format.FileNum, ok bool) {
	for i := range c.b.files.hints {
		if h := &c.b.files.hints[i]; h.Load() != 0 {
			v := h.Swap(0)
			return int(v >> 56), format.FileNum(v & (1<<56 - 1)), v != 0
		}
	}
	return 0, 0, false
}
