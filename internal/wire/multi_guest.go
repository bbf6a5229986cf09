package wire

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/levelparty/party/internal/store"
)

// multiGuest is a guest of a leader that speaks multileveldown.
type multiGuest struct {
	npmGuest

	mu     sync.Mutex
	open   map[uint64]*multiInbox
	opened uint64 // how many iterators have been opened
	heard  uint64 // the latest of them for which something came
	nextID uint64
	freed  []freedID // oldest first
}

// freedID is the id of an iterator that has been closed.
type freedID struct{ id, opened uint64 }

// restIDs is how many other ids are closed before one is used again. The
// leader keeps an array by id, so they must stay small; but entries it sent
// before it saw an iterator closed must not be taken for those of the next one
// with the same id. They are all in once something has come for an iterator
// that was opened after that; but for the one entry that an npm host may be
// reading while it closes, which the rest is for.
const restIDs = 1024

func newMultiGuest(l *Link) guestCodec {
	g := &multiGuest{open: make(map[uint64]*multiInbox)}
	g.npmGuest = npmGuest{l: l, fault: multiError}
	return g
}

// multiError is the error behind a message.
func multiError(op Op, text []byte) error {
	lower := strings.ToLower(string(text[:min(len(text), 256)]))
	switch {
	case (op == OpGet || op == OpHas) && strings.Contains(lower, "notfound"):
		return store.ErrNotFound
	case strings.Contains(lower, "readonly"):
		return store.ErrReadOnly
	case strings.HasPrefix(lower, "corruption"):
		return fmt.Errorf("leader answered %.256q: %w", text, store.ErrCorrupted)
	}
	return &remoteError{fmt.Sprintf("leader answered %.256q", text), errRemote}
}

func (g *multiGuest) handle(frame []byte) error {
	tag, msg := frame[0], frame[1:]
	switch tag {
	case npmCallback:
		return g.callback(msg)
	case npmGetManyCallback:
		return g.getManyCallback(msg)
	case npmIteratorData:
		return g.data(msg)
	}
	return fmt.Errorf("unknown tag %d: %w", tag, store.ErrInvalid)
}

// multiInbox adds to an inbox what the flow control of multileveldown needs:
// the leader may send granted entries, the end or an error counting as one.
type multiInbox struct {
	*inbox
	serial  uint64 // counts the guest's iterators
	seq     uint64
	granted int
	came    int
	bytes   int // of the entries that came
}

func (g *multiGuest) data(msg []byte) error {
	m, err := decodeMultiData(msg)
	if err != nil {
		return fmt.Errorf("iterator data: %w", err)
	}
	g.mu.Lock()
	b := g.open[m.id]
	if b != nil {
		g.heard = max(g.heard, b.serial)
	}
	g.mu.Unlock()
	if b == nil {
		return nil // closed meanwhile
	}
	b.put(b.seq, func() {
		if b.end || b.err != nil {
			return
		}
		if b.came >= b.granted {
			err = fmt.Errorf("iterator data: leader sends what was not asked for: %w", store.ErrInvalid)
			return
		}
		b.came++
		switch {
		case len(m.error) > 0:
			b.err = fmt.Errorf("read cursor: %w", multiError(OpRead, m.error))
		case m.key == nil && m.value == nil:
			b.end = true
		default:
			both := make([]byte, len(m.key)+len(m.value)) // one copy holds both
			n := copy(both, m.key)
			copy(both[n:], m.value)
			b.items = append(b.items, both[:n:n], both[n:])
			b.bytes += len(both)
		}
	})
	return err
}

// newID returns an id for b's iterator.
func (g *multiGuest) newID(b *multiInbox) (id uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.freed) > restIDs && g.freed[0].opened < g.heard {
		id = g.freed[0].id
		g.freed = g.freed[1:]
	} else {
		id = g.nextID
		g.nextID++
	}
	g.opened++
	b.serial = g.opened
	g.open[id] = b
	return id
}

func (g *multiGuest) freeID(id uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.open, id)
	g.freed = append(g.freed, freedID{id, g.opened})
}

func (g *multiGuest) cursor(o CursorOptions) Cursor {
	return &multiCursor{g: g, o: o, in: newInbox()}
}

// multiCursor reads one iterator of the leader after the other: the protocol
// has no seek, so each move is a new iterator.
type multiCursor struct {
	g  *multiGuest
	o  CursorOptions
	in *inbox

	id      uint64
	box     *multiInbox // nil while no iterator is open
	nothing bool        // the last move found, without asking, that nothing is there
	closed  bool
}

// The first grant is small, for those who want one entry. Later ones are sized
// so that about multiGrantBytes are on their way: whatever is granted may come
// at once, and waits here.
const (
	multiFirstGrant = 32
	multiMostGrant  = 1024
	multiGrantBytes = 128 << 10
)

func (c *multiCursor) Read(ctx context.Context, pos Position) (*Chunk, error) {
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

// take hands out what has come, if anything has. Once all that was granted has
// come it grants more: the leader sets its credit to what it is told, so a
// grant any sooner would let it send without bound.
func (c *multiCursor) take() (*Chunk, error) {
	c.in.mu.Lock()
	items, end, fault := c.in.items, c.in.end, c.in.err
	c.in.items = nil
	grant := 0
	if b := c.box; !end && fault == nil && b.came == b.granted {
		grant = max(1, min(multiMostGrant, multiGrantBytes/(b.bytes/b.came+1)))
		b.granted, b.came, b.bytes = grant, 0, 0
	}
	c.in.mu.Unlock()

	if grant > 0 {
		if err := c.send(multiIteratorMessage{id: c.id, batch: uint64(grant)}); err != nil {
			return nil, err
		}
	}
	switch {
	case len(items) == 0 && fault != nil:
		return nil, fault
	case len(items) == 0 && !end:
		return nil, nil
	}
	if c.o.NoValues {
		for i := 1; i < len(items); i += 2 {
			items[i] = nil
		}
	}
	return &Chunk{Entries: items, End: end}, nil
}

// move brings the cursor to pos.
func (c *multiCursor) move(pos Position) error {
	where := placeOf(c.o.Bounds, pos)
	if where == onwards {
		if c.box != nil || c.nothing {
			return nil
		}
		where = edge // nothing read yet
	}
	if c.box != nil && c.o.OneSnapshot {
		return c.g.unsupported("moving a cursor that keeps its snapshot")
	}
	if where == nowhere {
		c.nothing = true
		return nil
	}
	c.drop()
	c.nothing = false
	bounds := c.o.Bounds
	if where == target && pos.Reverse {
		bounds.Upper = pos.Key
	} else if where == target {
		bounds.Lower = pos.Key
	}
	c.box = &multiInbox{inbox: c.in, seq: c.in.turn(), granted: multiFirstGrant}
	c.id = c.g.newID(c.box)
	return c.send(multiIteratorMessage{
		id: c.id, batch: multiFirstGrant,
		options: c.o.iteratorOptions(bounds, pos.Reverse), hasOptions: true,
	})
}

func (c *multiCursor) send(m multiIteratorMessage) error {
	return c.g.l.send(func(dst []byte) ([]byte, error) {
		dst, mark := beginFrame(dst, npmIterator)
		return endFrame(m.append(dst), mark), nil
	})
}

// drop closes the iterator there is.
func (c *multiCursor) drop() {
	if c.box == nil {
		return
	}
	c.box = nil
	_ = c.send(multiIteratorMessage{id: c.id}) // too small to be refused
	c.g.freeID(c.id)
}

func (c *multiCursor) Close() {
	c.closed = true
	c.drop()
	c.in.turn()
}
