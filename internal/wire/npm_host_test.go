package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/wire/memstore"
)

// rawGuest sends a host frames of its own making.
type rawGuest struct {
	t      *testing.T
	conn   net.Conn
	frames *frameReader
	store  *memstore.Store
	log    *bytes.Buffer
	ended  chan error
}

// countingStore counts what reaches a store.
type countingStore struct {
	*memstore.Store
	commits []int // writes in each
}

func (s *countingStore) Commit(ctx context.Context, writes []*store.Write) {
	s.commits = append(s.commits, len(writes))
	s.Store.Commit(ctx, writes)
}

// closingStore is closed behind the first write.
type closingStore struct{ *memstore.Store }

func (s *closingStore) Commit(ctx context.Context, writes []*store.Write) {
	s.Store.Commit(ctx, writes[:1])
	s.Fail(store.ErrClosed)
	s.Store.Commit(ctx, writes[1:])
}

// newRawGuest connects to a host of the keys, each with valueOf it.
func newRawGuest(t *testing.T, p Proto, host *Host, keys ...string) *rawGuest {
	g := &rawGuest{t: t, store: memstore.New(), log: new(bytes.Buffer), ended: make(chan error, 1)}
	var records []byte
	for _, k := range keys {
		records = format.AppendPut(records, []byte(k), []byte(valueOf(k)))
	}
	g.store.Commit(t.Context(), []*store.Write{{Records: records, Count: len(keys)}})
	if host.Store == nil {
		host.Store = g.store
	}
	host.Logger = slog.New(slog.NewTextHandler(g.log, nil))
	var conn net.Conn
	g.conn, conn = connectedPair(t)
	g.frames = newFrameReader(g.conn, 0)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { g.ended <- host.Serve(ctx, conn, p) }()
	t.Cleanup(func() {
		cancel()
		g.conn.Close()
		<-g.ended
		if n := g.store.Open(); n != 0 {
			t.Errorf("host left %d iterators open", n)
		}
	})
	return g
}

// connectedPair returns both ends of a connection that, unlike net.Pipe, holds
// some bytes by itself.
func connectedPair(t testing.TB) (net.Conn, net.Conn) {
	t.Helper()
	dir, err := os.MkdirTemp("", "") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return dialed, accepted
}

func valueOf(key string) string { return "value of " + key }

// frame builds one frame.
func frame(tag byte, msg []byte) []byte {
	dst, mark := beginFrame(nil, tag)
	return endFrame(append(dst, msg...), mark)
}

func (g *rawGuest) send(frames ...[]byte) {
	g.t.Helper()
	g.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	if _, err := g.conn.Write(bytes.Join(frames, nil)); err != nil {
		g.t.Fatalf("send: %v", err)
	}
}

// next returns the next frame from the host.
func (g *rawGuest) next() (tag byte, msg []byte) {
	g.t.Helper()
	g.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	f, err := g.frames.next()
	if err != nil {
		g.t.Fatalf("receive: %v", err)
	}
	return f[0], bytes.Clone(f[1:])
}

// callback returns the next frame, which must be a Callback.
func (g *rawGuest) callback() callbackMessage {
	g.t.Helper()
	tag, msg := g.next()
	m, err := decodeCallback(msg)
	if tag != npmCallback || err != nil {
		g.t.Fatalf("got tag %d, %v, want a callback", tag, err)
	}
	return m
}

// quiet checks that the host has nothing more to say: the answer to a get
// comes next.
func (g *rawGuest) quiet() {
	g.t.Helper()
	g.send(frame(npmGet, keyMessage{id: 1 << 40, key: []byte("no such key")}.append(nil)))
	tag, msg := g.next()
	if m, err := decodeCallback(msg); tag != npmCallback || err != nil || m.id != 1<<40 {
		g.t.Fatalf("got tag %d %x before an answer was due", tag, msg)
	}
}

func put(id uint64, key, value string) []byte {
	return frame(npmPut, keyMessage{id, []byte(key), []byte(value)}.append(nil))
}

func get(id uint64, key string) []byte {
	return frame(npmGet, keyMessage{id: id, key: []byte(key)}.append(nil))
}

// TestHostGathersWrites checks that writes that come together are committed
// together, that a read among them sees those before it, and that answers keep
// the order of requests.
func TestHostGathersWrites(t *testing.T) {
	for _, p := range []Proto{Many, Multi} {
		s := &countingStore{Store: memstore.New()}
		g := newRawGuest(t, p, &Host{Store: s})
		batch, err := appendBatch(nil, 3, format.AppendDelete(format.AppendPut(nil, []byte("c"), []byte("3")), []byte("a")))
		if err != nil {
			t.Fatal(err)
		}
		empty, _ := appendBatch(nil, 4, nil)
		g.send(
			put(1, "a", "1"), put(2, "b", "2"), frame(npmBatch, batch), frame(npmBatch, empty), get(5, "c"), get(6, "a"),
			put(7, "a", "4"), frame(npmDelete, keyMessage{id: 8, key: []byte("c")}.append(nil)), get(9, "a"))
		want := map[uint64]string{5: "3", 9: "4"}
		for id := uint64(1); id <= 9; id++ {
			m := g.callback()
			if m.id != id || string(m.value) != want[id] || (len(m.error) > 0) != (id == 6) {
				t.Errorf("%s: answer %d: got id %d, value %q, error %q", p, id, m.id, m.value, m.error)
			}
		}
		if got, want := fmt.Sprint(s.commits), "[3 2]"; got != want {
			t.Errorf("%s: writes in each commit: got %s, want %s", p, got, want)
		}
	}
}

// TestHostBoundsCommits checks that a flood of small writes is not gathered
// into one commit of any size.
func TestHostBoundsCommits(t *testing.T) {
	s := &countingStore{Store: memstore.New()}
	g := newRawGuest(t, Many, &Host{Store: s})
	const writes = 3 * maxGathered
	go g.conn.Write(bytes.Repeat(put(1, "k", "v"), writes))
	for range writes {
		g.callback()
	}
	for _, n := range s.commits {
		if n > maxGathered {
			t.Errorf("commit of %d writes, limit %d", n, maxGathered)
		}
	}
}

// TestHostEmptyFrame checks that an empty frame behind a request does not keep
// its answer back.
func TestHostEmptyFrame(t *testing.T) {
	g := newRawGuest(t, Many, &Host{})
	g.send(put(1, "a", "1"), []byte{0, 0x80, 0})
	if m := g.callback(); m.id != 1 {
		t.Errorf("got answer to %d, want 1", m.id)
	}
}

func TestHostErrors(t *testing.T) {
	for _, test := range []struct {
		err               error
		manyCode, multiIn string
	}{
		{store.ErrNotFound, "LEVEL_NOT_FOUND", "NotFound"},
		{store.ErrReadOnly, "LEVEL_READONLY", "readonly"},
		{store.ErrCorrupted, "LEVEL_CORRUPTION", "Corruption"},
		{io.ErrNoProgress, "LEVEL_REMOTE_ERROR", io.ErrNoProgress.Error()},
	} {
		for _, p := range []Proto{Many, Multi} {
			g := newRawGuest(t, p, &Host{})
			g.store.Fail(fmt.Errorf("wrapped: %w", test.err))
			g.send(put(1, "k", "v"), get(2, "k"), frame(npmClear, clearMessage{3, everything}.append(nil)))
			for id := uint64(1); id <= 3; id++ {
				m := g.callback()
				ok := string(m.error) == test.manyCode
				if p == Multi {
					ok = strings.Contains(string(m.error), test.multiIn)
				}
				if m.id != id || !ok {
					t.Errorf("%s: %v: answer %d: got id %d, error %q", p, test.err, id, m.id, m.error)
				}
			}
		}
	}
}

// TestHostStoreClosed checks that a store that is about to close ends the
// connection, so that the guest asks the next leader, and answers what was done
// before.
func TestHostStoreClosed(t *testing.T) {
	for _, p := range []Proto{Many, Multi} {
		for name, request := range map[string][]byte{
			"put":      put(2, "k", "v"),
			"get":      get(2, "k"),
			"get many": frame(npmGetMany, appendGetMany(nil, 2, [][]byte{[]byte("k")})),
			"clear":    frame(npmClear, clearMessage{2, everything}.append(nil)),
			"iterator": openIterator(p, 2),
		} {
			g := newRawGuest(t, p, &Host{Store: &closingStore{memstore.New()}})
			g.send(put(1, "k", "v"), request)
			if m := g.callback(); m.id != 1 || len(m.error) > 0 {
				t.Errorf("%s: %s: first answer: id %d, error %q", p, name, m.id, m.error)
			}
			if err := <-g.ended; err != nil {
				t.Errorf("%s: %s: ended with %v", p, name, err)
			}
			g.ended <- nil // for newRawGuest's end
			if f, err := g.frames.next(); !errors.Is(err, io.EOF) {
				t.Errorf("%s: %s: second answer: %x, %v", p, name, f, err)
			}
			if g.log.Len() > 0 {
				t.Errorf("%s: %s: log: %s", p, name, g.log)
			}
		}
	}
}

// TestHostGetManyTooLarge checks that a guest cannot make the leader build an
// answer of any size out of a small request.
func TestHostGetManyTooLarge(t *testing.T) {
	for _, p := range []Proto{Many, Multi} {
		g := newRawGuest(t, p, &Host{MaxFrame: 1 << 20})
		g.send(put(1, "k", strings.Repeat("x", 100<<10)))
		g.callback()
		g.send(frame(npmGetMany, appendGetMany(nil, 2, slicesRepeat([]byte("k"), 11))))
		tag, msg := g.next()
		m, err := decodeGetManyCallback(msg)
		if tag != npmGetManyCallback || err != nil || m.id != 2 || len(m.error) == 0 || len(m.values) != 0 {
			t.Errorf("%s: got tag %d, %d values, error %q, %v", p, tag, len(m.values), m.error, err)
		}
		g.quiet()
	}
}

func slicesRepeat(b []byte, n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = b
	}
	return all
}

// TestHostRefuses checks that frames no guest sends end the connection with a
// logged reason.
func TestHostRefuses(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x7f}
	damaged := []byte{0x08, 0x80} // an id that is cut short
	tests := map[string][]byte{
		"unknown tag":          frame(200, nil),
		"damaged get":          frame(npmGet, damaged),
		"get without key":      frame(npmGet, []byte{0x08, 1}),
		"get of wrong type":    frame(npmGet, []byte{0x0a, 1, 1, 0x12, 1, 'k'}),
		"put without value":    frame(npmPut, []byte{0x08, 1, 0x12, 1, 'k'}),
		"damaged delete":       frame(npmDelete, damaged),
		"damaged batch":        frame(npmBatch, damaged),
		"batch of nonsense":    frame(npmBatch, []byte{0x08, 1, 0x12, 7, 0x0a, 2, 'x', 'x', 0x12, 1, 'k'}),
		"damaged operation":    frame(npmBatch, []byte{0x08, 1, 0x12, 2, 0x0a, 99}),
		"damaged clear":        frame(npmClear, []byte{0x08, 1, 0x12, 2, 0x1a, 99}),
		"damaged get many":     frame(npmGetMany, []byte{0x08, 1, 0x12, 99}),
		"damaged iterator":     frame(npmIterator, damaged),
		"damaged options":      frame(npmIterator, []byte{0x08, 1, 0x10, 0, 0x1a, 2, 0x1a, 99, 0x20, 0}),
		"oversized":            huge,
		"endless length":       bytes.Repeat([]byte{0xff}, 11),
		"group without an end": frame(npmGet, []byte{0x08, 1, 0x12, 1, 'k', 0x4b}),
	}
	for name, bytes := range tests {
		for _, p := range []Proto{Many, Multi} {
			t.Run(p.String()+"/"+name, func(t *testing.T) {
				g := newRawGuest(t, p, &Host{}, "k")
				g.send(bytes)
				err := <-g.ended
				g.ended <- err
				if err == nil || !strings.Contains(g.log.String(), "reason=") {
					t.Errorf("got %v, log %q, want an error and a logged reason", err, g.log)
				}
			})
		}
	}
	t.Run("step of an iterator", func(t *testing.T) {
		for _, tag := range []byte{manyIteratorAck, manyIteratorSeek, manyIteratorClose} {
			g := newRawGuest(t, Many, &Host{}, "k")
			g.send(frame(tag, damaged))
			err := <-g.ended
			g.ended <- err
			if !errors.Is(err, store.ErrInvalid) {
				t.Errorf("damaged step %d: got %v", tag, err)
			}
		}
	})
}

// TestHostLostGuest checks that a guest that dies, even in the middle of a
// frame, is nothing to be logged.
func TestHostLostGuest(t *testing.T) {
	g := newRawGuest(t, Many, &Host{}, "k")
	g.send(get(1, "k")[:4])
	g.conn.Close()
	err := <-g.ended
	g.ended <- err
	if err != nil || g.log.Len() > 0 {
		t.Errorf("got %v, log %q, want nothing", err, g.log)
	}
}

// TestHostSlowGuest floods a host with requests and reads no answer: the host
// must stop reading, holding little.
func TestHostSlowGuest(t *testing.T) {
	for _, p := range []Proto{Many, Multi} {
		g := newRawGuest(t, p, &Host{})
		g.send(put(1, "k", strings.Repeat("x", 10<<10)))
		g.callback()
		request := bytes.Repeat(get(2, "k"), 100)
		sent := 0
		for sent < 100<<20 {
			g.conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
			n, err := g.conn.Write(request)
			sent += n
			if err != nil {
				break
			}
		}
		// The host holds at most a buffer's worth of requests, and of answers
		// one flush and one value; the rest is the socket's.
		if sent > 2<<20 {
			t.Errorf("%s: host took in %d bytes of requests while no answer was read", p, sent)
		}
	}
}

// TestHostTooManyIterators checks that an iterator too many is refused, and
// that the others and the connection live on.
func TestHostTooManyIterators(t *testing.T) {
	for _, p := range []Proto{Many, Multi} {
		g := newRawGuest(t, p, &Host{}, "k")
		for id := range uint64(maxIterators) {
			g.send(openIterator(p, id))
			g.next()
		}
		g.send(openIterator(p, 5000))
		tag, msg := g.next()
		if p == Many {
			if m, err := decodeManyStep(msg, tag, true); tag != manyIteratorError || err != nil || m.id != 5000 {
				t.Errorf("got tag %d %+v, %v, want an error", tag, m, err)
			}
		} else if m, err := decodeMultiData(msg); err != nil || m.id != 5000 || len(m.error) == 0 {
			t.Errorf("got %+v, %v, want an error", m, err)
		}
		if n := g.store.Open(); n != maxIterators {
			t.Errorf("%d iterators open, want %d", n, maxIterators)
		}
		g.quiet()
	}
}

func openIterator(p Proto, id uint64) []byte {
	if p == Many {
		return frame(npmIterator, manyIteratorMessage{id: id, options: everything}.append(nil))
	}
	return frame(npmIterator, multiIteratorMessage{id: id, batch: 1, options: everything, hasOptions: true}.append(nil))
}
