package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/levelparty/party/internal/store"
)

// space is the memory that all guests of a host share for what is larger than an
// ordinary buffer: frames that are arriving, and answers that are not read yet.
// A guest that finds none waits, and is not read from meanwhile. Who holds some
// for long, because it stopped in the middle of a frame or does not read its
// answer, loses its connection, but only if somebody waits for room.
type space struct {
	size int64
	free *semaphore.Weighted

	mu    sync.Mutex
	holds map[*hold]struct{}
}

// hold is a part of a space that a guest has.
type hold struct {
	of    *space
	size  int64
	conn  net.Conn
	since time.Time
}

// spaceFrames is how many of the largest frames the space holds.
const spaceFrames = 4

// spacePatience is how long a guest may hold room while others wait for it.
var spacePatience = 10 * time.Second // a variable for tests

func newSpace(size int64) *space {
	return &space{size: size, free: semaphore.NewWeighted(size), holds: make(map[*hold]struct{})}
}

// try takes n bytes, or all there are, if they are free; else it is nil.
func (s *space) try(conn net.Conn, n int) *hold {
	size := min(int64(n), s.size)
	if !s.free.TryAcquire(size) {
		return nil
	}
	return s.note(conn, size)
}

// take waits for n bytes, or for all there are.
func (s *space) take(ctx context.Context, conn net.Conn, n int) (*hold, error) {
	size := min(int64(n), s.size)
	for {
		wait, cancel := context.WithTimeout(ctx, spacePatience)
		err := s.free.Acquire(wait, size)
		cancel()
		if err == nil {
			return s.note(conn, size), nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("waited for room for %d bytes: %w", n, ctx.Err())
		}
		s.end(time.Now().Add(-spacePatience))
	}
}

func (s *space) note(conn net.Conn, size int64) *hold {
	h := &hold{of: s, size: size, conn: conn, since: time.Now()}
	s.mu.Lock()
	s.holds[h] = struct{}{}
	s.mu.Unlock()
	return h
}

// end ends the connections that have held room since before.
func (s *space) end(before time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for h := range s.holds {
		if h.since.Before(before) {
			h.conn.Close()
		}
	}
}

// release gives it back. A nil hold has none.
func (h *hold) release() {
	if h == nil || h.of == nil {
		return
	}
	h.of.mu.Lock()
	delete(h.of.holds, h)
	h.of.mu.Unlock()
	h.of.free.Release(h.size)
	h.of = nil
}

// hold takes room for n bytes of an answer. An ordinary one needs none: nil.
func (c *hostConn) hold(n int) (*hold, error) {
	if n <= busyBuffer {
		return nil, nil
	}
	return c.host.large().take(c.ctx, c.conn, n)
}

// large returns the space of all guests.
func (h *Host) large() *space {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.space == nil {
		h.space = newSpace(spaceFrames * int64(max(h.maxFrame(), 16*busyBuffer)))
	}
	return h.space
}

// value gets a value that is to be answered. A large one is not kept while there
// is no room for it, but got again. The hold ends with the answer.
func (c *hostConn) value(key []byte, snap store.Snapshot) ([]byte, *hold, error) {
	for {
		v, err := c.host.Store.Get(key, snap)
		n := 2 * len(v) // in the answer, too
		if err != nil || n <= busyBuffer {
			return v, nil, err
		}
		if h := c.host.large().try(c.conn, n); h != nil {
			return v, h, nil
		}
		v = nil
		h, err := c.host.large().take(c.ctx, c.conn, n)
		if err != nil {
			return nil, nil, err
		}
		if v, err = c.host.Store.Get(key, snap); err != nil || 2*len(v) <= n {
			return v, h, err
		}
		h.release() // it has grown meanwhile
	}
}

// roomy makes an answer whose size is not known before: collect is called with
// what it may use, and again with more as long as that is errRoom.
func (c *hostConn) roomy(collect func(limit int) error) (*hold, error) {
	for limit := busyBuffer; ; limit *= 16 {
		limit = min(limit, c.host.maxFrame())
		var h *hold
		var err error
		if limit > busyBuffer {
			h, err = c.hold(2 * limit)
		}
		if err == nil {
			err = collect(limit)
		}
		if !errors.Is(err, errRoom) || limit == c.host.maxFrame() {
			return h, err
		}
		h.release()
	}
}

// errRoom is for roomy alone.
var errRoom = errors.New("the answer needs more room")
