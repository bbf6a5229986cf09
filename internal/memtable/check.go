package memtable

import (
	"fmt"

	"github.com/levelparty/party/internal/format"
)

// Check looks at the whole table: that each level ascends and is a subset of
// the one below, that prev leads back, and that what is linked was counted. No
// inserter may be at work; an entry that a dead one left half-way is no damage.
func (t *Table) Check() error {
	a := t.arena
	count, end := unpackTail(load64(a, offTail))
	if end&linking != 0 {
		e, err := t.entry(end &^ linking)
		if err != nil {
			return err
		}
		end = uint32(min(roundUp(int64(e.end)), int64(len(a))))
	}
	pending := load64(a, offTail)&linking != 0
	// at holds where each level's walk is: level 0 goes on and takes the others along.
	var at [maxHeight]uint32
	for level := range at {
		at[level] = load32(a, nextOf(head, level))
	}
	before, entries := uint32(head), uint32(0)
	var key []byte
	for n := at[0]; n != 0; n = at[0] {
		e, err := t.entry(n)
		if err != nil {
			return err
		}
		if entries++; int(entries) > t.nodes {
			return t.errCycle(n)
		}
		h := nodeHeight(a, n)
		if h < 1 || h > maxHeight || int64(n)-4*int64(h-1) < HeaderLen || e.end > end {
			return t.errOffset(n)
		}
		next := a[n+nodeKey : e.val]
		if key != nil && format.CompareInternal(key, next) >= 0 {
			return corrupt(t.log, int64(n), "memtable: keys do not ascend")
		}
		if prev := load32(a, n+nodePrev); prev != before {
			if err := t.checkPrev(prev, before, n); err != nil {
				return err
			}
		}
		at[0] = load32(a, n)
		for level := 1; level < maxHeight && at[level] == n; level++ {
			if level >= h || level >= t.height() {
				return corrupt(t.log, int64(n), fmt.Sprintf("memtable: entry in level %d", level))
			}
			at[level] = load32(a, nextOf(n, level))
		}
		before, key = n, next
	}
	for level, n := range at {
		if n != 0 {
			return corrupt(t.log, int64(n), fmt.Sprintf("memtable: entry in level %d alone", level))
		}
	}
	if entries != count && !(pending && entries == count+1) {
		return corrupt(t.log, offTail, fmt.Sprintf("memtable: %d entries, %d counted", entries, count))
	}
	return nil
}

// checkPrev tells whether a prev that is not what comes before n is at least
// from before that.
func (t *Table) checkPrev(prev, before, n uint32) error {
	for steps := 0; prev != before; steps++ {
		if prev != head && !t.within(prev) || steps > t.nodes {
			return corrupt(t.log, int64(n), "memtable: prev does not lead back")
		}
		prev = load32(t.arena, prev)
	}
	return nil
}
