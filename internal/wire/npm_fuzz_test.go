package wire

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"testing/iotest"
	"time"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/wire/memstore"
)

// seedFrames adds the golden frames of one side, each and together.
func seedFrames(f *testing.F, p Proto, from string) {
	var all []byte
	for _, c := range loadGolden(f, p) {
		if c.From == from && len(c.Frame) < 1000 {
			f.Add([]byte(c.Frame))
			all = append(all, c.Frame...)
		}
	}
	f.Add(all)
}

// fuzzFrame limits what one fuzzed frame may make a reader allocate.
const fuzzFrame = 1 << 16

func fuzzHost(f *testing.F, p Proto) {
	seedFrames(f, p, "guest")
	records := make([]byte, 0, 4096)
	for i := range 100 {
		records = format.AppendPut(records, []byte{'k', byte(i)}, []byte("some value"))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		s := memstore.New()
		s.ClearChunk = 7
		s.Commit(t.Context(), []*store.Write{{Records: records, Count: 100}})
		guest, conn := net.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- (&Host{Store: s, MaxFrame: fuzzFrame}).Serve(context.Background(), conn, p) }()
		go io.Copy(io.Discard, guest)
		guest.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := guest.Write(stream); isTimeout(err) {
			t.Fatal("host neither reads nor ends the connection")
		}
		guest.Close()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatal("host hangs")
		}
		if n := s.Open(); n != 0 {
			t.Fatalf("host left %d iterators open", n)
		}
	})
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

func FuzzManyHost(f *testing.F)  { fuzzHost(f, Many) }
func FuzzMultiHost(f *testing.F) { fuzzHost(f, Multi) }

// fuzzGuest sends a stream to a guest that waits for calls and cursors.
func fuzzGuest(f *testing.F, p Proto) {
	seedFrames(f, p, "host")
	f.Fuzz(func(t *testing.T, stream []byte) {
		conn, leader := net.Pipe()
		go io.Copy(io.Discard, leader)
		calls := NewCalls()
		link := NewLink(conn, p, calls, fuzzFrame)
		ops := []Request{{Op: OpGet}, {Op: OpGetMany, Keys: make([][]byte, 4)}, {Op: OpPut}, {Op: OpClear, Limit: -1}, {Op: OpHas}}
		for _, req := range ops {
			c := NewCall(req)
			calls.Add(c)
			if err := link.Send(c); err != nil {
				t.Fatal(err)
			}
		}
		link.Flush()
		read := make(chan struct{})
		go func() {
			defer close(read)
			c := link.Cursor(CursorOptions{Limit: -1})
			defer c.Close()
			for i := 0; ; i++ {
				pos := Position{Kind: PositionKind(i % 3), Key: []byte("k"), Reverse: i%5 == 0}
				chunk, err := c.Read(t.Context(), pos)
				if err != nil {
					return
				}
				if len(chunk.Entries)%2 != 0 || len(chunk.Entries) == 0 && !chunk.End {
					t.Errorf("chunk of %d parts, end %t", len(chunk.Entries), chunk.End)
				}
			}
		}()
		leader.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := leader.Write(stream); isTimeout(err) {
			t.Fatal("guest neither reads nor ends the link")
		}
		leader.Close()
		for _, ended := range []<-chan struct{}{link.Down(), read} {
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Fatal("guest hangs")
			}
		}
	})
}

func FuzzManyGuest(f *testing.F)  { fuzzGuest(f, Many) }
func FuzzMultiGuest(f *testing.F) { fuzzGuest(f, Multi) }

// FuzzFrame checks that frames do not depend on how the stream is cut, and
// that a reader holds little more than it was given.
func FuzzFrame(f *testing.F) {
	seedFrames(f, Many, "guest")
	f.Add([]byte{0, 0x80, 0, 1, 7})
	f.Add(append([]byte{0x80, 0x80, 4}, make([]byte, 1<<16)...))
	f.Fuzz(func(t *testing.T, stream []byte) {
		read := func(r io.Reader) (frames [][]byte, end string) {
			reader := newFrameReader(r, fuzzFrame)
			defer reader.release()
			for {
				frame, err := reader.next()
				if err != nil {
					return frames, err.Error()
				}
				if len(frame) == 0 || len(frame) > fuzzFrame {
					t.Fatalf("frame of %d bytes", len(frame))
				}
				if limit := max(busyBuffer, 2*len(stream)); len(reader.buf) > limit {
					t.Fatalf("buffer of %d bytes, limit %d", len(reader.buf), limit)
				}
				frames = append(frames, bytes.Clone(frame))
				reader.buffered()
			}
		}
		whole, end := read(bytes.NewReader(stream))
		cut, cutEnd := read(iotest.OneByteReader(bytes.NewReader(stream)))
		if end != cutEnd || len(whole) != len(cut) {
			t.Fatalf("%d frames and %s at once, %d and %s byte by byte", len(whole), end, len(cut), cutEnd)
		}
		for i := range whole {
			if !bytes.Equal(whole[i], cut[i]) {
				t.Fatalf("frame %d differs when it comes byte by byte", i)
			}
		}
	})
}
