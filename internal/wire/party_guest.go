package wire

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/levelparty/party/internal/store"
)

// partyGuest speaks the protocol between Go processes, as a guest.
type partyGuest struct {
	link *Link

	mu      sync.Mutex
	host    Hello
	greeted chan struct{} // closed when host is known
	cursors uint64        // the last cursor's number
	wait    time.Duration // of a goodbye
}

func newPartyGuest(l *Link) *partyGuest {
	return &partyGuest{link: l, greeted: make(chan struct{})}
}

// Greet introduces this guest to a Party host and waits for the answer, which
// comes when the leader has the database open.
func (l *Link) Greet(ctx context.Context, h Hello) (host Hello, err error) {
	g := l.codec.(*partyGuest)
	h.Version = partyVersion
	if err := l.send(func(dst []byte) ([]byte, error) { return appendHello(dst, &h), nil }); err != nil {
		return host, err
	}
	select {
	case <-g.greeted:
	case <-l.down:
		select {
		case <-g.greeted: // and then went down
		default:
			return host, fmt.Errorf("%w: %w", store.ErrConnectionLost, l.Err())
		}
	case <-ctx.Done():
		return host, ctx.Err()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.host.Version != partyVersion {
		return g.host, fmt.Errorf("leader (pid %d) speaks version %d of the protocol, this process version %d: %w",
			g.host.PID, g.host.Version, partyVersion, store.ErrNotSupported)
	}
	return g.host, nil
}

func (g *partyGuest) appendCall(dst []byte, c *Call) ([]byte, error) {
	return appendRequest(dst, c.ID, &c.Request), nil
}

func (g *partyGuest) handle(frame []byte) error {
	switch frame[0] {
	case tagAnswer:
		id, r, failure, err := decodeAnswer(frame[1:])
		if err != nil {
			return err
		}
		g.link.finish(id, r, failure)
		return nil
	case tagGoodbye:
		wait, err := decodeGoodbye(frame[1:])
		g.mu.Lock()
		g.wait = wait
		g.mu.Unlock()
		return err
	case tagHello:
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.host.Version != 0 {
			return fmt.Errorf("second hello: %w", store.ErrInvalid)
		}
		if err := decodeHello(frame[1:], &g.host); err != nil {
			return err
		}
		close(g.greeted)
		return nil
	}
	return fmt.Errorf("unknown tag %d: %w", frame[0], store.ErrInvalid)
}

func (g *partyGuest) lost() {}

// Wait returns for how long the leader that went down asked to leave the lead
// to others.
func (l *Link) Wait() time.Duration {
	g, ok := l.codec.(*partyGuest)
	if !ok {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.wait
}

func (g *partyGuest) cursor(o CursorOptions) Cursor {
	g.mu.Lock()
	g.cursors++
	id := g.cursors
	g.mu.Unlock()
	return &partyCursor{link: g.link, o: o, id: id, maxBytes: firstChunk, left: o.Limit}
}

const (
	firstChunk = 4 << 10 // many iterators are left after a few entries
	// maxChunk leaves room for an entry more in the buffer of a busy connection.
	maxChunk = 48 << 10
	// chunksAhead is how many chunks are asked for beyond the one being read:
	// one is on its way while the leader makes the next.
	chunksAhead = 2
)

// partyCursor asks for chunks ahead of the one being read, larger each time.
type partyCursor struct {
	link     *Link
	o        CursorOptions
	id       uint64
	opened   bool
	maxBytes int
	left     int64   // of o.Limit
	reverse  bool    // direction of the last chunk
	ahead    []*Call // the requests for the chunks after it
}

func (c *partyCursor) request(pos Position) (*Call, error) {
	r := Request{Op: OpRead, Key: pos.Key, Reverse: pos.Reverse, read: readRequest{
		cursor: c.id, position: pos.Kind, maxBytes: c.maxBytes,
		noValues: c.o.NoValues,
	}}
	if c.left > 0 {
		r.read.maxCount = int(min(c.left, 1<<30))
	}
	if !c.opened {
		r.read.open, r.Bounds, r.Handle = true, c.o.Bounds, c.o.Snapshot
	}
	call := NewCall(r)
	call.Bound = c.link
	c.link.calls.Add(call)
	if err := c.link.Send(call); err != nil {
		c.link.calls.Take(call.ID)
		return nil, err
	}
	c.opened = true
	c.maxBytes = min(c.maxBytes*4, maxChunk)
	c.link.Flush()
	return call, nil
}

func (c *partyCursor) Read(ctx context.Context, pos Position) (*Chunk, error) {
	if pos.Kind != Continue || pos.Reverse != c.reverse {
		c.abandon()
	}
	if len(c.ahead) == 0 {
		call, err := c.request(pos)
		if err != nil {
			return nil, err
		}
		c.ahead = append(c.ahead, call)
	}
	call := c.ahead[0]
	c.ahead = append(c.ahead[:0], c.ahead[1:]...)
	if err := c.link.wait(ctx, call); err != nil {
		return nil, err
	}
	if call.chunk == nil {
		call.chunk = new(Chunk)
	}
	chunk := call.chunk
	chunk.End = !call.More
	if err := shapeEntries(chunk, c.o.NoValues); err != nil {
		return nil, err
	}
	c.reverse = pos.Reverse
	if c.left > 0 {
		if c.left -= int64(len(chunk.Entries) / 2); c.left <= 0 {
			c.left = 1 // the reader may still move elsewhere
			return chunk, nil
		}
	}
	if chunk.End {
		c.abandon()
		return chunk, nil
	}
	for len(c.ahead) < chunksAhead {
		call, err := c.request(Position{Kind: Continue, Reverse: pos.Reverse})
		if err != nil {
			return nil, err
		}
		c.ahead = append(c.ahead, call)
	}
	return chunk, nil
}

// abandon gives up what was asked for ahead.
func (c *partyCursor) abandon() {
	for _, call := range c.ahead {
		c.link.calls.Take(call.ID)
	}
	c.ahead = c.ahead[:0]
}

// shapeEntries makes pairs of a chunk that came without values.
func shapeEntries(chunk *Chunk, noValues bool) error {
	switch {
	case noValues:
		pairs := make([][]byte, 2*len(chunk.Entries))
		for i, key := range chunk.Entries {
			pairs[2*i] = key
		}
		chunk.Entries = pairs
	case len(chunk.Entries)%2 != 0:
		return fmt.Errorf("key without value: %w", store.ErrInvalid)
	}
	return nil
}

func (c *partyCursor) Close() {
	c.abandon()
	if !c.opened {
		return
	}
	// Nobody waits for the answer, which has no ID to be given to.
	_ = c.link.send(func(dst []byte) ([]byte, error) {
		return appendRequest(dst, noAnswer, &Request{Op: OpCloseCursor, read: readRequest{cursor: c.id}}), nil
	})
}

// noAnswer is the id of requests whose answer nobody waits for.
const noAnswer = 1<<64 - 1

// wait waits for a call that is bound to l.
func (l *Link) wait(ctx context.Context, c *Call) error {
	if l.Attend(ctx, c) {
		return c.Err
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		if l.calls.Take(c.ID) != nil {
			return ctx.Err()
		}
		<-c.done
	case <-l.down:
		if l.calls.Take(c.ID) != nil {
			return fmt.Errorf("%w: %w", store.ErrConnectionLost, l.Err())
		}
		<-c.done
	}
	return c.Err
}

// Do sends a request that has a meaning on this link alone, and waits.
func (l *Link) Do(ctx context.Context, req Request) (Response, error) {
	c := NewCall(req)
	c.Bound = l
	l.calls.Add(c)
	if err := l.Send(c); err != nil {
		l.calls.Take(c.ID)
		return Response{}, err
	}
	l.Flush()
	err := l.wait(ctx, c)
	return c.Response, err
}

// Tell sends a request whose answer does not matter.
func (l *Link) Tell(req Request) {
	if l.proto != Party {
		return
	}
	_ = l.send(func(dst []byte) ([]byte, error) { return appendRequest(dst, noAnswer, &req), nil })
}

// IsRemote reports whether err is the leader's own failure rather than one of
// the way to it.
func IsRemote(err error) bool {
	var r *remoteError
	return errors.As(err, &r)
}
