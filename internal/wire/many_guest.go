package wire

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/levelparty/party/internal/store"
)

// manyGuest is a guest of a leader that speaks many-level.
type manyGuest struct {
	npmGuest

	mu      sync.Mutex
	lastID  uint64
	inboxes map[uint64]*inbox // of the open iterators
}

func newManyGuest(l *Link) guestCodec {
	g := &manyGuest{inboxes: make(map[uint64]*inbox)}
	g.npmGuest = npmGuest{l: l, fault: manyError}
	return g
}

// manyError is the error behind a code.
func manyError(_ Op, code []byte) error {
	switch string(code) {
	case "LEVEL_NOT_FOUND":
		return store.ErrNotFound
	case "LEVEL_READONLY":
		return store.ErrReadOnly
	case "LEVEL_CORRUPTION":
		return fmt.Errorf("leader answered %s: %w", code, store.ErrCorrupted)
	}
	return &remoteError{fmt.Sprintf("leader answered %.64q", code), errRemote}
}

func (g *manyGuest) handle(frame []byte) error {
	tag, msg := frame[0], frame[1:]
	switch tag {
	case npmCallback:
		return g.callback(msg)
	case npmGetManyCallback:
		return g.getManyCallback(msg)
	case npmIteratorData:
		return g.data(msg)
	case manyIteratorError, manyIteratorEnd:
		m, err := decodeManyStep(msg, tag, true)
		if err != nil {
			return fmt.Errorf("iterator step %d: %w", tag, err)
		}
		if b := g.inbox(m.id); b != nil {
			b.put(m.seq, func() {
				if tag == manyIteratorEnd {
					b.end = true
				} else if b.err == nil {
					b.err = fmt.Errorf("read cursor: %w", manyError(OpRead, m.bytes))
				}
			})
		}
		return nil
	}
	return fmt.Errorf("unknown tag %d: %w", tag, store.ErrInvalid)
}

// maxManyChunks is how many chunks may wait in a cursor. The npm hosts send at
// most two that were not acknowledged.
const maxManyChunks = 8

func (g *manyGuest) data(msg []byte) error {
	// One copy holds all entries.
	m, err := decodeManyData(slices.Clone(msg))
	if err != nil {
		return fmt.Errorf("iterator data: %w", err)
	}
	b := g.inbox(m.id)
	if b == nil {
		return nil // closed meanwhile
	}
	b.put(m.seq, func() {
		if len(b.chunks) >= maxManyChunks {
			err = fmt.Errorf("iterator data: leader sends what was not asked for: %w", store.ErrInvalid)
			return
		}
		b.items = append(b.items, m.data...)
		b.chunks = append(b.chunks, len(b.items))
	})
	return err
}

func (g *manyGuest) inbox(id uint64) *inbox {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inboxes[id]
}

// newID returns an id that no iterator has and that none had lately.
func (g *manyGuest) newID(b *inbox) uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		g.lastID = g.lastID%(1<<32-1) + 1
		if g.inboxes[g.lastID] == nil {
			g.inboxes[g.lastID] = b
			return g.lastID
		}
	}
}

func (g *manyGuest) cursor(o CursorOptions) Cursor {
	return &manyCursor{g: g, o: o, in: newInbox()}
}

// manyCursor is one iterator of the leader, moved by seeks; where a seek
// cannot bring it, it becomes a new one.
type manyCursor struct {
	g  *manyGuest
	o  CursorOptions
	in *inbox

	id      uint64 // 0 while no iterator is open
	seq     uint64
	reverse bool
	nothing bool // the last move found, without asking, that nothing is there
	closed  bool
	below   []byte // in reverse, drop an entry with this key
	topping bool   // the next entry is the last of the bounds
	top     []byte // the last key within the bounds, once it is known
}

func (c *manyCursor) Read(ctx context.Context, pos Position) (*Chunk, error) {
	if c.closed {
		return nil, fmt.Errorf("read cursor: %w", store.ErrClosed)
	}
	if err := c.move(pos); err != nil {
		return nil, err
	}
	for !c.nothing {
		chunk, err := c.take()
		if chunk != nil || err != nil {
			return chunk, err
		}
		if err := c.in.wait(ctx, c.g.l); err != nil {
			return nil, err
		}
	}
	return &Chunk{End: true}, nil
}

// take hands out the next chunk, if it is there, and acknowledges it so that
// the leader goes on while it is being read.
func (c *manyCursor) take() (*Chunk, error) {
	for {
		c.in.mu.Lock()
		end, fault := c.in.end, c.in.err
		var items [][]byte
		if len(c.in.chunks) > 0 {
			n := c.in.chunks[0]
			items = c.in.items[:n:n]
			c.in.items = c.in.items[n:]
			c.in.chunks = c.in.chunks[1:]
			for i := range c.in.chunks {
				c.in.chunks[i] -= n
			}
			end = end && len(c.in.chunks) == 0
			if len(c.in.items) == 0 {
				c.in.items, c.in.chunks = nil, nil
			}
		} else if end {
			c.in.mu.Unlock()
			return &Chunk{End: true}, nil
		} else {
			c.in.mu.Unlock()
			return nil, fault
		}
		c.in.mu.Unlock()

		if !end && fault == nil {
			// consumed stays 0: the limit is then counted from each move, and a
			// cursor that is moved back is not cut short.
			if err := c.g.l.send(func(dst []byte) ([]byte, error) {
				dst, mark := beginFrame(dst, manyIteratorAck)
				return endFrame(appendManyAck(dst, c.id, c.seq, 0), mark), nil
			}); err != nil {
				return nil, err
			}
		}
		entries, err := c.entries(items)
		if err != nil {
			return nil, err
		}
		if len(entries) > 0 || end {
			return &Chunk{Entries: entries, End: end}, nil
		}
	}
}

// entries makes pairs of what an iterator sent.
func (c *manyCursor) entries(items [][]byte) ([][]byte, error) {
	switch {
	case c.o.NoValues:
		pairs := make([][]byte, 2*len(items))
		for i, key := range items {
			pairs[2*i] = key
		}
		items = pairs
	case len(items)%2 != 0:
		return nil, fmt.Errorf("read cursor: leader sent a key without a value: %w", store.ErrInvalid)
	}
	if c.below != nil && len(items) > 0 {
		if string(items[0]) == string(c.below) {
			items = items[2:]
		}
		c.below = nil
	}
	if c.topping && len(items) > 0 {
		c.top, c.topping = cloneBytes(items[0]), false
	}
	return items, nil
}

// move brings the iterator to pos.
func (c *manyCursor) move(pos Position) error {
	where := placeOf(c.o.Bounds, pos)
	if where == onwards {
		if c.id != 0 || c.nothing {
			return nil
		}
		where = edge // nothing read yet
	}
	turned := c.id != 0 && c.reverse != pos.Reverse
	if turned && c.o.OneSnapshot {
		return c.g.unsupported("turning a cursor that keeps its snapshot")
	}
	if where == nowhere {
		c.nothing = true
		return nil
	}
	switch {
	case c.id == 0 || turned:
		return c.open(where, pos)
	case where == target:
		return c.seek(pos.Key, pos.Reverse)
	case !pos.Reverse:
		return c.seek(c.o.Bounds.Lower, false)
	case c.topping: // it is there already, or there is nothing
		c.nothing = false
		return nil
	case c.top != nil:
		return c.seek(c.top, false)
	case c.o.OneSnapshot:
		return c.g.unsupported("moving a cursor that keeps its snapshot to the end")
	}
	return c.open(where, pos)
}

// open begins a new iterator in place of the one there may be.
func (c *manyCursor) open(where place, pos Position) error {
	c.drop()
	c.arrive(pos.Key, where == target && pos.Reverse)
	c.topping, c.top = where == edge && pos.Reverse, nil
	c.id, c.reverse = c.g.newID(c.in), pos.Reverse
	m := manyIteratorMessage{
		id: c.id, seq: c.seq,
		options: c.o.iteratorOptions(c.o.Bounds, pos.Reverse),
	}
	if where == target {
		m.seek = orEmpty(pos.Key)
	}
	return c.g.l.send(func(dst []byte) ([]byte, error) {
		dst, mark := beginFrame(dst, npmIterator)
		return endFrame(m.append(dst), mark), nil
	})
}

// seek moves the iterator there is, which keeps its snapshot.
func (c *manyCursor) seek(key []byte, strictly bool) error {
	c.arrive(key, strictly)
	c.topping = false
	return c.g.l.send(func(dst []byte) ([]byte, error) {
		dst, mark := beginFrame(dst, manyIteratorSeek)
		return endFrame(appendManySeek(dst, c.id, c.seq, key), mark), nil
	})
}

// arrive makes ready for what comes from a new position. A seek in reverse
// finds the last key at or below its target; strictly drops the one at it.
func (c *manyCursor) arrive(key []byte, strictly bool) {
	c.nothing = false
	c.seq = c.in.turn()
	c.below = nil
	if strictly {
		c.below = cloneBytes(orEmpty(key))
	}
}

// drop closes the iterator there is.
func (c *manyCursor) drop() {
	if c.id == 0 {
		return
	}
	id := c.id
	c.id = 0
	c.g.mu.Lock()
	delete(c.g.inboxes, id)
	c.g.mu.Unlock()
	_ = c.g.l.send(func(dst []byte) ([]byte, error) {
		dst, mark := beginFrame(dst, manyIteratorClose)
		return endFrame(appendManyClose(dst, id), mark), nil
	}) // too small to be refused
}

func (c *manyCursor) Close() {
	c.closed = true
	c.drop()
	c.in.turn()
}
