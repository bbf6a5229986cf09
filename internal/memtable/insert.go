package memtable

import (
	"encoding/binary"
	"fmt"

	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/store"
)

// Insert adds an entry: it holds the value, or the deletion, of a user key.
// If the internal key is there already nothing is added, but the entry is put
// into all of its levels: so who inserts again what a killed process inserted
// finishes its work, wherever it was cut.
//
// REQUIRES: the caller's lock; one inserter of all processes.
//
// The steps, and what each leaves to the next inserter:
//
//  1. The node is written into free space. Nothing happened.
//  2. The tail is set to the node, with the linking bit. By looking for the
//     node's key the next inserter finds out whether step 3 was done; it then
//     does step 4, or takes the space as free.
//  3. Level 0 is linked. The entry is there.
//  4. The tail is set to what is behind the node, with the entry counted.
//  5. prev of what follows is set, the height is raised, and the other levels
//     are linked, from below. If they are not, searches take longer, until the
//     same entry is inserted again. The height goes first: nothing may be in a
//     level that searches do not begin above.
func (t *Table) Insert(user []byte, trailer uint64, value []byte) error {
	if len(user) > maxKeyLen || int64(len(value)) > MaxSize {
		return fmt.Errorf("memtable: key of %d bytes, value of %d: %w", len(user), len(value), store.ErrTooLarge)
	}
	count, end := unpackTail(load64(t.arena, offTail))
	if end&linking != 0 {
		var err error
		if count, end, err = t.finish(count, end&^linking); err != nil {
			return err
		}
	}
	if end < HeaderLen || int64(end) > int64(len(t.arena)) || end&3 != 0 {
		return corrupt(t.log, offTail, "memtable: no end can be here")
	}

	height := t.randomHeight()
	next, near, err := t.follow(user, trailer, height)
	if err != nil {
		t.path[0] = head // the path is not of one key
		return err
	}
	if !near {
		if next, err = t.search(user, trailer, &t.path); err != nil {
			return err
		}
		if next != 0 {
			c, err := t.compare(next, user, trailer)
			if err != nil {
				return err
			}
			if c == 0 {
				return t.complete(next)
			}
		}
	}

	n := end + 4*uint32(height-1)
	after := int64(end) + 4*int64(height-1) + minNode + roundUp(int64(len(user))+int64(len(value)))
	if after > int64(len(t.arena)) {
		return ErrFull
	}
	a := t.arena
	binary.NativeEndian.PutUint32(a[n:], next)
	binary.NativeEndian.PutUint32(a[n+nodePrev:], t.path[0])
	binary.NativeEndian.PutUint32(a[n+nodeKeyLen:], uint32(len(user))|uint32(height)<<heightShift)
	binary.NativeEndian.PutUint32(a[n+nodeValLen:], uint32(len(value)))
	k := a[n+nodeKey:]
	copy(k, user)
	binary.LittleEndian.PutUint64(k[len(user):], trailer)
	copy(k[len(user)+format.TrailerLen:], value)
	t.cut()
	store64(a, offTail, packTail(count, n|linking))
	t.cut()
	store32(a, t.path[0], n)
	t.cut()
	store64(a, offTail, packTail(count+1, uint32(after)))
	t.raise(n, next, height)
	return nil
}

// cut lets a test look at what a crash at this point would leave.
func (t *Table) cut() {
	failpoint.Hit("memtable.step")
	if t.step != nil {
		t.step()
	}
}

// raise does the last step: node n is in level 0, next follows it there, and
// path says what comes before it.
func (t *Table) raise(n, next uint32, height int) {
	a := t.arena
	t.cut()
	if next != 0 {
		store32(a, next+nodePrev, n)
	}
	t.path[0] = n
	t.heighten(height)
	for level := 1; level < height; level++ {
		t.cut()
		before := nextOf(t.path[level], level)
		store32(a, nextOf(n, level), load32(a, before))
		t.cut()
		store32(a, before, n)
		t.path[level] = n
	}
}

func (t *Table) heighten(height int) {
	if height > t.height() {
		t.cut()
		store32(t.arena, offHeight, uint32(height))
	}
}

// follow tries whether the entry follows the one inserted last, as it does
// when keys ascend; path then is right up to height and next is what follows in
// level 0.
func (t *Table) follow(user []byte, trailer uint64, height int) (next uint32, near bool, err error) {
	if t.path[0] == head {
		return 0, false, nil
	}
	if c, err := t.compare(t.path[0], user, trailer); err != nil || c >= 0 {
		return 0, false, err
	}
	// Where others inserted since, it may be some steps on. If it is many a
	// search is quicker.
	for level := height - 1; level >= 0; level-- {
		for steps := 0; ; steps++ {
			if next = load32(t.arena, nextOf(t.path[level], level)); next == 0 {
				break
			}
			if !t.within(next) {
				return 0, false, t.errOffset(next)
			}
			c, err := t.compare(next, user, trailer)
			if err != nil {
				return 0, false, err
			}
			if c > 0 {
				break
			}
			if c == 0 || steps == 4 {
				return 0, false, nil
			}
			t.path[level] = next
		}
	}
	return next, true, nil
}

// finish goes on for an inserter that died after it had written node n and
// before it had counted it: it does step 4 or undoes step 2. It returns the
// tail it leaves.
func (t *Table) finish(count, n uint32) (newCount, end uint32, err error) {
	e, err := t.entry(n)
	if err != nil {
		return 0, 0, err
	}
	h := nodeHeight(t.arena, n)
	start := int64(n) - 4*int64(h-1)
	after := t.nodeEnd(n)
	if h < 1 || h > maxHeight || start < HeaderLen || after > int64(len(t.arena)) {
		return 0, 0, t.errOffset(n)
	}
	key := t.arena[n+nodeKey : e.val]
	found, err := t.search(format.UserKey(key), format.KeyTrailer(key), &t.path)
	if err != nil {
		return 0, 0, err
	}
	if found != n {
		store64(t.arena, offTail, packTail(count, uint32(start)))
		return count, uint32(start), nil
	}
	store64(t.arena, offTail, packTail(count+1, uint32(after)))
	return count + 1, uint32(after), nil
}

// complete puts an entry that is in level 0 into all of its levels.
// REQUIRES: path is that of a search that found n.
func (t *Table) complete(n uint32) error {
	h := nodeHeight(t.arena, n)
	if h < 1 || h > maxHeight || n-4*uint32(h-1) < HeaderLen {
		return t.errOffset(n)
	}
	t.heighten(h)
	// The path ends before n; in a level that n is in, it leads to n.
	for level := 1; level < h; level++ {
		before := nextOf(t.path[level], level)
		next := load32(t.arena, before)
		if next == n {
			continue
		}
		t.cut()
		store32(t.arena, nextOf(n, level), next)
		t.cut()
		store32(t.arena, before, n)
	}
	if next := load32(t.arena, n); next != 0 {
		if !t.within(next) {
			return t.errOffset(next)
		}
		t.cut()
		store32(t.arena, next+nodePrev, n)
	}
	return nil
}
