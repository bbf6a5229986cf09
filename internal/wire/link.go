package wire

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/levelparty/party/internal/store"
)

// Link is a guest's side of one connection to a leader. Safe for concurrent
// use.
type Link struct {
	// Constant after NewLink.
	proto Proto
	conn  net.Conn
	calls *Calls
	codec guestCodec
	max   int
	down  chan struct{}

	// Who reads; see read.go.
	turn   chan struct{} // holds a token while nobody does
	frames *frameReader  // of who has the turn
	wanted chan struct{} // holds a token when the link's reader shall be back
	crowd  atomic.Bool   // calls wait together
	missed atomic.Bool   // a lone call did not get the turn
	alone  atomic.Uint64 // lone calls that did

	mu      sync.Mutex
	out     []byte    // frames to be written, in order
	spare   []byte    // the buffer that out alternates with
	writing bool      // somebody is in Flush, and will write out too
	err     error     // why the link went down
	until   time.Time // when reading ends after a failed write
}

// guestCodec is one protocol, seen from the guest. handle is called by one
// goroutine at a time; the others by any.
type guestCodec interface {
	// appendCall appends the frame of c. What the protocol has no message for
	// is ErrNotSupported.
	appendCall(dst []byte, c *Call) ([]byte, error)
	// handle takes in a frame, tag first, valid only during the call. An error
	// ends the link.
	handle(frame []byte) error
	// cursor prepares a cursor; it may send nothing yet.
	cursor(o CursorOptions) Cursor
	// lost tells that the link is down.
	lost()
}

// CursorOptions says what a cursor walks.
type CursorOptions struct {
	Bounds store.Bounds
	// Limit is the most entries that will be read, negative for no limit. A
	// hint: a cursor may return more.
	Limit int64
	// NoValues leaves out the values. A cursor may return them all the same.
	NoValues bool
	// Snapshot is the handle of a snapshot of this link, 0 for the state at the
	// first read.
	Snapshot uint64
	// OneSnapshot demands that all reads see one state of the database, however
	// the cursor is moved; a move that cannot is ErrNotSupported.
	OneSnapshot bool
}

// Cursor reads entries in order, a chunk at a time. It belongs to one link and
// ends with it. Not safe for concurrent use.
type Cursor interface {
	// Read returns the next chunk of entries from pos. It returns at least one
	// entry unless Chunk.End. If the link goes down it returns
	// ErrConnectionLost.
	Read(ctx context.Context, pos Position) (*Chunk, error)
	// Close frees what the host holds for the cursor. It does not wait.
	Close()
}

// Position says where a read begins and which way it goes.
type Position struct {
	Kind PositionKind
	Key  []byte // for From
	// Reverse walks towards smaller keys.
	Reverse bool
}

// PositionKind is how a Position's place is given.
type PositionKind uint8

const (
	// Continue goes on, in the same direction, behind the last chunk.
	Continue PositionKind = iota
	// Start begins at the first entry within the bounds, in reverse at the
	// last.
	Start
	// From begins at the first entry whose key is >= Key; in reverse at the
	// last entry whose key is < Key.
	From
)

// Chunk is a run of entries in the order of the walk.
type Chunk struct {
	// Entries alternates keys and values. Either is nil if it was left out.
	Entries [][]byte
	// End tells that nothing is left behind the chunk in this direction.
	End bool
}

// NewLink starts a link of protocol p over conn, which it owns from then on.
// Answers are given to the calls in calls. maxFrame 0 means DefaultMaxFrame.
func NewLink(conn net.Conn, p Proto, calls *Calls, maxFrame int) *Link {
	if maxFrame <= 0 {
		maxFrame = DefaultMaxFrame
	}
	l := &Link{
		proto: p, conn: conn, calls: calls, max: maxFrame,
		down: make(chan struct{}), turn: make(chan struct{}, 1), wanted: make(chan struct{}, 1),
	}
	switch p {
	case Party:
		l.codec = newPartyGuest(l)
	case Many:
		l.codec = newManyGuest(l)
	case Multi:
		l.codec = newMultiGuest(l)
	}
	// An answer can be a little larger than its largest value.
	l.frames = newFrameReader(conn, maxFrame+2*maxChunk)
	l.turn <- struct{}{}
	go l.read()
	return l
}

// Proto returns the protocol spoken.
func (l *Link) Proto() Proto { return l.proto }

// Down is closed when the link has ended; Err then says why.
func (l *Link) Down() <-chan struct{} { return l.down }

// Err returns why the link went down, nil while it is up.
func (l *Link) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Send queues the frame of c, in the order of the calls of Send. Flush writes
// it. An error means that nothing was queued; a link that is down takes calls
// and drops them, since who owns the Calls sends them again elsewhere.
func (l *Link) Send(c *Call) error {
	return l.queue(func(dst []byte) ([]byte, error) { return l.codec.appendCall(dst, c) })
}

func (l *Link) queue(appendFrame func([]byte) ([]byte, error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil
	}
	was := len(l.out)
	out, err := appendFrame(l.out)
	if err == nil && len(out)-was > l.max {
		err = fmt.Errorf("frame of %d bytes, limit %d: %w", len(out)-was, l.max, store.ErrTooLarge)
	}
	if err != nil {
		l.out = out[:was]
		return err
	}
	l.out = out
	return nil
}

// keepBuffer is the most memory an output buffer keeps between writes.
const keepBuffer = 256 << 10

// Flush writes what is queued. One goroutine writes for all that come
// meanwhile. It does not wait for a leader that does not read.
func (l *Link) Flush() {
	l.mu.Lock()
	if l.writing || len(l.out) == 0 {
		l.mu.Unlock()
		return
	}
	l.writing = true
	l.mu.Unlock()
	// Whoever else is about to queue a frame gets the chance to share this
	// write: with many callers that turns one system call per call into one per
	// round. A lone caller would only wake an idle thread.
	if l.calls.Len() > 1 {
		runtime.Gosched()
	}
	l.writeOut(nil, false)
}

// nowWriter is a connection that can be written to without waiting for the
// other end to read: WriteNow writes what there is room for.
type nowWriter interface {
	WriteNow(b []byte) (n int, err error)
}

// writeOut writes first, and then what is queued until nothing is. Unless it
// may wait, it leaves that to a goroutine where the other end does not keep up.
// Only who has set l.writing may call it.
func (l *Link) writeOut(first []byte, wait bool) {
	now, ok := l.conn.(nowWriter)
	buf := first
	for {
		var err error
		if len(buf) > 0 {
			n := 0
			switch {
			case wait:
				n, err = l.conn.Write(buf)
			case ok:
				n, err = now.WriteNow(buf)
			}
			if n < len(buf) && err == nil {
				go l.writeOut(buf[n:], true)
				return
			}
		}
		l.mu.Lock()
		if buf != nil && cap(buf) <= keepBuffer {
			l.spare = buf
		}
		if err != nil {
			// The reader still takes in what the leader sent before it died; it
			// will meet the end by itself.
			l.out = nil
			l.until = time.Now().Add(time.Second)
			_ = l.conn.SetReadDeadline(l.until)
		}
		if len(l.out) == 0 || l.err != nil {
			l.writing = false
			l.mu.Unlock()
			return
		}
		buf = l.out
		l.out, l.spare = l.spare[:0], nil
		l.mu.Unlock()
	}
}

// send queues a frame and writes it.
func (l *Link) send(appendFrame func([]byte) ([]byte, error)) error {
	if err := l.queue(appendFrame); err != nil {
		return err
	}
	l.Flush()
	return nil
}

// Close ends the link. Calls that wait stay in their Calls.
func (l *Link) Close() { l.fail(net.ErrClosed) }

func (l *Link) fail(err error) {
	l.mu.Lock()
	l.failLocked(err)
	l.mu.Unlock()
}

func (l *Link) failLocked(err error) {
	if l.err != nil {
		return
	}
	l.err = err
	l.out = nil
	_ = l.conn.Close() // nothing more to lose
}

// finish gives the waiting call id its outcome, if it still waits.
func (l *Link) finish(id uint64, r Response, err error) {
	if c := l.calls.Take(id); c != nil {
		c.Response = r
		c.Finish(err)
	}
}

// Cursor returns a cursor on this link.
func (l *Link) Cursor(o CursorOptions) Cursor { return l.codec.cursor(o) }
