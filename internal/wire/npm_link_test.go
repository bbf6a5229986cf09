package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/levelparty/party/internal/store"
)

// rawLeader answers a guest with frames of its own making.
type rawLeader struct {
	t      *testing.T
	conn   net.Conn
	frames *frameReader
	link   *Link
	calls  *Calls
}

func newRawLeader(t *testing.T, p Proto) *rawLeader {
	guest, leader := connectedPair(t)
	r := &rawLeader{t: t, conn: leader, frames: newFrameReader(leader, 0), calls: NewCalls()}
	r.link = NewLink(guest, p, r.calls, 0)
	t.Cleanup(func() {
		r.link.Close()
		leader.Close()
		<-r.link.Down()
	})
	return r
}

func (r *rawLeader) send(frames ...[]byte) {
	r.t.Helper()
	for _, f := range frames {
		if _, err := r.conn.Write(f); err != nil {
			r.t.Fatalf("send: %v", err)
		}
	}
}

func (r *rawLeader) next() (tag byte, msg []byte) {
	r.t.Helper()
	r.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	f, err := r.frames.next()
	if err != nil {
		r.t.Fatalf("receive: %v", err)
	}
	return f[0], append([]byte{}, f[1:]...)
}

// call sends a call and takes its frame off the wire.
func (r *rawLeader) call(req Request) *Call {
	r.t.Helper()
	c := NewCall(req)
	r.calls.Add(c)
	if err := r.link.Send(c); err != nil {
		r.t.Fatal(err)
	}
	r.link.Flush()
	r.next()
	return c
}

func (r *rawLeader) outcome(c *Call) error {
	r.t.Helper()
	select {
	case <-c.Done():
		return c.Err
	case <-time.After(10 * time.Second):
		r.t.Fatal("call has no outcome")
		return nil
	}
}

func answer(id uint64, fault string, value []byte) []byte {
	return frame(npmCallback, appendCallback(nil, id, fault, value))
}

func TestGuestErrors(t *testing.T) {
	for _, test := range []struct {
		p    Proto
		op   Op
		text string
		want error
	}{
		{Many, OpGet, "LEVEL_NOT_FOUND", store.ErrNotFound},
		{Many, OpPut, "LEVEL_READONLY", store.ErrReadOnly},
		{Many, OpGet, "LEVEL_CORRUPTION", store.ErrCorrupted},
		{Many, OpGet, "LEVEL_REMOTE_ERROR", errRemote},
		{Many, OpHas, "LEVEL_REMOTE_ERROR", errRemote},
		{Many, OpHas, "LEVEL_NOT_FOUND", nil},
		{Multi, OpGet, "NotFound: ", store.ErrNotFound},
		{Multi, OpHas, "NotFound: ", nil},
		{Multi, OpPut, "Database is readonly", store.ErrReadOnly},
		{Multi, OpGet, "Corruption: block checksum mismatch", store.ErrCorrupted},
		{Multi, OpPut, "IO error: NotFound", errRemote},
	} {
		r := newRawLeader(t, test.p)
		c := r.call(Request{Op: test.op, Key: []byte("k")})
		r.send(answer(c.ID+77, "LEVEL_NOT_FOUND", nil), answer(c.ID, test.text, nil))
		if err := r.outcome(c); !errors.Is(err, test.want) {
			t.Errorf("%s: %q: got %v, want %v", test.p, test.text, err, test.want)
		}
		if test.op == OpHas && c.More {
			t.Errorf("%s: %q: has it", test.p, test.text)
		}
	}
}

// TestGuestRefuses checks that a leader that sends nonsense, or what was not
// asked for, loses its guest.
func TestGuestRefuses(t *testing.T) {
	many := func(id, seq uint64) []byte {
		return frame(npmIteratorData, appendItem(appendItem(appendManyData(nil, id, seq), []byte("k")), []byte("v")))
	}
	multi := func(id uint64) []byte {
		return frame(npmIteratorData, appendMultiData(nil, id, "", []byte("k"), []byte("v")))
	}
	repeat := func(f []byte, n int) (all [][]byte) {
		for range n {
			all = append(all, f)
		}
		return all
	}
	for _, test := range []struct {
		name   string
		p      Proto
		frames [][]byte
	}{
		{"unknown tag", Many, [][]byte{frame(77, nil)}},
		{"unknown tag", Multi, [][]byte{frame(3, nil)}},
		{"damaged", Many, [][]byte{frame(npmIteratorData, []byte{0xff})}},
		{"damaged", Multi, [][]byte{frame(npmIteratorData, []byte{0xff})}},
		{"oversized", Many, [][]byte{{0xff, 0xff, 0xff, 0xff, 0x7f}}},
		{"too few values", Many, [][]byte{frame(npmGetManyCallback, appendCallback(nil, 1, "", nil))}},
		{"one value for many", Multi, [][]byte{answer(1, "", []byte("v"))}},
		{"more chunks than acknowledged", Many, repeat(many(1, 1), maxManyChunks+1)},
		{"more entries than granted", Multi, repeat(multi(0), multiFirstGrant+1)},
	} {
		t.Run(test.p.String()+"/"+test.name, func(t *testing.T) {
			r := newRawLeader(t, test.p)
			r.call(Request{Op: OpGetMany, Keys: [][]byte{[]byte("k")}})
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			c := r.link.Cursor(CursorOptions{Limit: -1})
			if _, err := c.Read(ctx, Position{Kind: Start}); !errors.Is(err, context.Canceled) {
				t.Fatalf("read: got %v, want context.Canceled", err)
			}
			r.next()
			r.send(test.frames...)
			select {
			case <-r.link.Down():
				if !errors.Is(r.link.Err(), store.ErrInvalid) && !errors.Is(r.link.Err(), store.ErrTooLarge) {
					t.Errorf("link went down for %v", r.link.Err())
				}
			case <-time.After(10 * time.Second):
				t.Fatal("link is up")
			}
			c.Close()
		})
	}
}

// TestGuestLateEntries checks that what a leader sent before it knew better is
// not taken for an answer to what came after.
func TestGuestLateEntries(t *testing.T) {
	r := newRawLeader(t, Multi)
	first := r.link.Cursor(CursorOptions{Limit: -1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	first.Read(ctx, Position{Kind: Start})
	r.next()
	first.Close()
	r.next()
	late := frame(npmIteratorData, appendMultiData(nil, 0, "", []byte("late"), []byte("v")))
	open := func() (c Cursor, id uint64) {
		t.Helper()
		c = r.link.Cursor(CursorOptions{Limit: -1})
		c.Read(ctx, Position{Kind: Start})
		_, msg := r.next()
		m, err := decodeMultiIterator(msg)
		if err != nil || !m.hasOptions {
			t.Fatalf("open: got %+v, %v", m, err)
		}
		return c, m.id
	}
	// As long as nothing new has come, something old may.
	for i := range uint64(2 * restIDs) {
		c, id := open()
		if id != i+1 {
			t.Fatalf("cursor %d: got id %d", i, id)
		}
		c.Close()
		r.next()
	}
	c, id := open()
	r.send(late, frame(npmIteratorData, appendMultiData(nil, id, "", []byte("k"), []byte("v"))))
	if chunk, err := c.Read(t.Context(), Position{Kind: Continue}); err != nil || string(chunk.Entries[0]) != "k" {
		t.Fatalf("got %+v, %v", chunk, err)
	}
	c.Close()
	r.next()
	c, id = open()
	if id != 0 {
		t.Errorf("got id %d, want the oldest", id)
	}
	r.send(frame(npmIteratorData, appendMultiData(nil, 0, "", []byte("k"), []byte("v"))))
	chunk, err := c.Read(t.Context(), Position{Kind: Continue})
	if err != nil || len(chunk.Entries) != 2 || string(chunk.Entries[0]) != "k" {
		t.Errorf("got %+v, %v", chunk, err)
	}
	c.Close()
	r.next()

	// many-level names each position by its seq.
	r = newRawLeader(t, Many)
	c = r.link.Cursor(CursorOptions{Limit: -1})
	defer c.Close()
	c.Read(ctx, Position{Kind: Start})
	_, msg := r.next()
	opened, err := decodeManyIterator(msg)
	if err != nil {
		t.Fatal(err)
	}
	c.Read(ctx, Position{Kind: From, Key: []byte("m")})
	_, msg = r.next()
	moved, err := decodeManyStep(msg, manyIteratorSeek, false)
	if err != nil || moved.id != opened.id || moved.seq != opened.seq+1 || string(moved.bytes) != "m" {
		t.Fatalf("seek: got %+v, %v after %+v", moved, err, opened)
	}
	data := func(seq uint64, key string) []byte {
		return frame(npmIteratorData, appendItem(appendItem(appendManyData(nil, opened.id, seq), []byte(key)), []byte("v")))
	}
	r.send(data(opened.seq, "late"), frame(manyIteratorEnd, appendManyEnd(nil, opened.id, opened.seq)), data(moved.seq, "n"))
	chunk, err = c.Read(t.Context(), Position{Kind: Continue})
	if err != nil || len(chunk.Entries) != 2 || string(chunk.Entries[0]) != "n" || chunk.End {
		t.Errorf("got %+v, %v", chunk, err)
	}
}

// TestGuestGrants checks that a guest of multileveldown never grants before
// all it granted has come, and not more than it wants to hold.
func TestGuestGrants(t *testing.T) {
	r := newRawLeader(t, Multi)
	c := r.link.Cursor(CursorOptions{Limit: -1})
	defer c.Close()
	value := make([]byte, 50<<10)
	granted := multiFirstGrant
	done := make(chan error, 1)
	go func() {
		pos := Position{Kind: Start}
		for n := 0; n < 200; {
			chunk, err := c.Read(context.Background(), pos)
			if err != nil {
				done <- err
				return
			}
			n += len(chunk.Entries) / 2
			pos.Kind = Continue
		}
		done <- nil
	}()
	r.next()
	for sent := 0; sent < 200; {
		for i := range granted {
			r.send(frame(npmIteratorData, appendMultiData(nil, 0, "", fmt.Appendf(nil, "%06d", sent+i), value)))
		}
		sent += granted
		_, msg := r.next()
		m, err := decodeMultiIterator(msg)
		if err != nil || m.hasOptions || m.id != 0 || int(m.batch)*len(value) > multiGrantBytes {
			t.Fatalf("after %d entries: got %+v, %v", sent, m, err)
		}
		granted = int(m.batch)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestGuestIteratorError checks that entries before an error are handed out
// first, and that the error stays.
func TestGuestIteratorError(t *testing.T) {
	for _, p := range []Proto{Many, Multi} {
		r := newRawLeader(t, p)
		c := r.link.Cursor(CursorOptions{Limit: -1})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		c.Read(ctx, Position{Kind: Start})
		r.next()
		if p == Many {
			r.send(frame(npmIteratorData, appendItem(appendItem(appendManyData(nil, 1, 1), []byte("k")), []byte("v"))),
				frame(manyIteratorError, appendManyError(nil, 1, 1, "LEVEL_CORRUPTION")))
		} else {
			r.send(frame(npmIteratorData, appendMultiData(nil, 0, "", []byte("k"), []byte("v"))),
				frame(npmIteratorData, appendMultiData(nil, 0, "Corruption: bad block", nil, nil)))
		}
		pos := Position{Kind: Continue}
		chunk, err := c.Read(t.Context(), pos)
		if err != nil || len(chunk.Entries) != 2 || chunk.End {
			t.Errorf("%s: got %+v, %v, want an entry", p, chunk, err)
		}
		for range 2 {
			if _, err := c.Read(t.Context(), pos); !errors.Is(err, store.ErrCorrupted) {
				t.Errorf("%s: got %v, want ErrCorrupted", p, err)
			}
		}
		c.Close()
	}
}
