package wire

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/levelparty/party/internal/store"
)

// Host serves guests from a Store. Its fields are constant once it serves.
type Host struct {
	Store store.Store
	// MaxFrame limits what a guest may send, in bytes. 0 means DefaultMaxFrame.
	MaxFrame int
	// Admin answers what only guests of the Party protocol can ask for; nil if
	// nothing is to be had.
	Admin Admin
	// Logger is told why a connection was ended for what its guest did.
	Logger *slog.Logger

	mu    sync.Mutex
	conns map[net.Conn]*hostConn
	space *space // nil until something large comes
}

// Goodbye tells the guest behind conn, if it is a Go process, that the leader
// leaves and that the guest should leave the lead to others for wait.
func (h *Host) Goodbye(conn net.Conn, wait time.Duration) {
	h.mu.Lock()
	c := h.conns[conn]
	h.mu.Unlock()
	if c == nil || c.proto != Party {
		return
	}
	// A guest that does not read shall not keep the leader.
	_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	_ = c.answer(func(dst []byte) []byte { return appendGoodbye(dst, wait) })
	_ = c.flush()
}

// Admin is what a leader offers beside its data.
type Admin interface {
	CompactRange(ctx context.Context, b store.Bounds) error
	ApproximateSize(b store.Bounds) (int64, error)
	Property(name string) (string, error)
	// Status returns a JSON document.
	Status() []byte
	// Welcome is told of a guest and returns what the guest may know of its
	// host.
	Welcome(conn net.Conn, guest Hello) (host Hello)
	// Forget is told that a client has left and will not send anything again.
	Forget(client store.ClientID)
	// Begin waits until no other writes and keeps them waiting; its result ends
	// that. Commits within pass through the returned Store.
	Begin(ctx context.Context) (tx store.Store, end func(), err error)
	// Held returns a channel that is closed while somebody has what Begin gives,
	// or once somebody gets it.
	Held() <-chan struct{}
}

// hostCodec is one protocol, seen from the host. Its methods are called by the
// connection's reader alone.
type hostCodec interface {
	// handle answers a frame, tag first, valid until settle returns. An error
	// ends the connection and is logged.
	handle(frame []byte) error
	// settle is called when no further frame has arrived yet: what handle
	// gathered must be done and answered.
	settle() error
	// close frees what the guest left behind. No method is called after it.
	close()
}

// hostConn is the host's side of one connection. One goroutine reads requests,
// carries them out and writes the answers, so a guest that does not read is
// not read from either, and costs nobody else anything.
type hostConn struct {
	host  *Host
	conn  net.Conn
	proto Proto
	ctx   context.Context // ends with the connection

	mu  sync.Mutex
	out []byte // answers not yet written
	err error  // first failed write
}

// Serve answers the guest behind conn, which it owns, until the guest leaves,
// misbehaves or ctx ends.
func (h *Host) Serve(ctx context.Context, conn net.Conn, p Proto) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()

	c := &hostConn{host: h, conn: conn, proto: p, ctx: ctx}
	h.mu.Lock()
	if h.conns == nil {
		h.conns = make(map[net.Conn]*hostConn)
	}
	h.conns[conn] = c
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.conns, conn)
		h.mu.Unlock()
	}()
	var codec hostCodec
	switch p {
	case Party:
		codec = newPartyHost(c)
	case Many:
		codec = newManyHost(c)
	case Multi:
		codec = newMultiHost(c)
	}
	defer func() {
		cancel() // what waits beside the reader waits no longer
		codec.close()
	}()
	frames := newFrameReader(conn, h.MaxFrame)
	frames.room = c.hold
	defer frames.release()
	for handled := 1; ; handled++ {
		frame, err := frames.next()
		if err == nil {
			err = codec.handle(frame)
		}
		if err == nil && !frames.buffered() {
			err = codec.settle()
			handled = flushEvery
		}
		if err == nil && handled%flushEvery == 0 {
			err = c.flush()
		}
		if err != nil {
			if errors.Is(err, store.ErrClosed) {
				_ = c.flush() // what was done before need not be asked for again
			}
			return h.ended(ctx, p, err)
		}
	}
}

// flushEvery is after how many requests of a burst the answers so far are
// written, so that the guest works on them while the host works on the rest.
const flushEvery = 32

// ended logs what was the guest's fault. A guest that dies or leaves is
// ordinary.
func (h *Host) ended(ctx context.Context, p Proto, err error) error {
	if ctx.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, store.ErrClosed) || isDisconnect(err) {
		return nil
	}
	if h.Logger != nil {
		h.Logger.Warn("ended a guest's connection", "protocol", p.String(), "reason", err)
	}
	return err
}

func isDisconnect(err error) bool {
	var op *net.OpError
	return errors.As(err, &op)
}

// flushSize is how much is gathered before it is written though more requests
// wait.
const flushSize = 64 << 10

// answer appends one or more frames to what will be written. Safe for
// concurrent use; a codec that answers outside handle and settle calls flush
// itself.
func (c *hostConn) answer(appendFrame func(dst []byte) []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out == nil {
		c.out = (*busyBuffers.Get().(*[]byte))[:0]
	}
	c.out = appendFrame(c.out)
	if len(c.out) < flushSize {
		return c.err
	}
	return c.flushLocked()
}

// unanswerable reports whether err is none to answer a request with, but ends
// the connection: the store is closed, or the connection is about to be. The
// guest asks the next leader then.
func (c *hostConn) unanswerable(err error) bool {
	return errors.Is(err, store.ErrClosed) || err != nil && c.ctx.Err() != nil
}

func (c *hostConn) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flushLocked()
}

// flushLocked writes with mu held: other answers wait for the guest to read,
// as they must.
func (c *hostConn) flushLocked() error {
	if len(c.out) > 0 && c.err == nil {
		_, c.err = c.conn.Write(c.out)
	}
	if cap(c.out) == busyBuffer {
		b := c.out[:busyBuffer]
		busyBuffers.Put(&b)
	}
	c.out = nil
	return c.err
}
