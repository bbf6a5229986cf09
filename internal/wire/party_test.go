package wire

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/wire/memstore"
)

// partyExamples are frames with their bytes. docs/protocol.md shows them.
var partyExamples = []struct {
	name  string
	frame []byte
	bytes string
}{
	{"hello of a guest", appendHello(nil, &Hello{Version: 1, Client: store.ClientID{1, 2, 3}, PID: 4711, Program: "app"}),
		"1d 7f 0801 1210 01020300000000000000000000000000 18e724 2203617070"},
	{"hello of the host", appendHello(nil, &Hello{Version: 1, PID: 42, Program: "svc", Since: 1000}),
		"0d 7f 0801 182a 2203737663 38e807"},
	{"get k", appendRequest(nil, 1, &Request{Op: OpGet, Key: []byte("k")}),
		"06 00 0801 1a016b"},
	{"answer v", appendAnswer(nil, 1, &Response{Value: []byte("v")}, nil),
		"06 00 0801 220176"},
	{"answer: not found", appendAnswer(nil, 1, &Response{}, store.ErrNotFound),
		"17 00 0801 1001 1a1070617274793a206e6f7420666f756e64"},
	{"put k=v, synced, floor 2", appendRequest(nil, 3, &Request{Op: OpPut, Floor: 2, Key: []byte("k"), Value: []byte("v"), Sync: true}),
		"0d 03 0803 1002 1a016b 220176 5002"},
	{"batch: put k=v, delete l", appendRequest(nil, 4, &Request{Op: OpBatch, Records: format.AppendDelete(format.AppendPut(nil, []byte("k"), []byte("v")), []byte("l"))}),
		"0d 05 0804 3208 01016b0176 00016c"},
	{"clear a <= key < b, limit 10, reverse", appendRequest(nil, 5, &Request{Op: OpClear, Limit: 10, Reverse: true, Bounds: store.Bounds{Lower: []byte("a"), Upper: []byte("b")}}),
		"0d 06 0805 3a0161 420162 4814 5001"},
	{"first read of cursor 1", appendRequest(nil, 6, &Request{Op: OpRead, read: readRequest{cursor: 1, position: Start, maxBytes: 4096, open: true}}),
		"0c 09 0806 5008 6801 7001 788020"},
	{"goodbye, 100 ms", appendGoodbye(nil, 100*time.Millisecond),
		"03 7e 0864"},
}

func TestPartyExamples(t *testing.T) {
	for _, c := range partyExamples {
		want, err := hex.DecodeString(strings.ReplaceAll(c.bytes, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(c.frame, want) {
			t.Errorf("%s: got % x, want % x", c.name, c.frame, want)
		}
	}
}

// admin is an Admin whose exclusive right is a mutex.
type admin struct {
	store.Store
	mu sync.Mutex
}

func (a *admin) CompactRange(context.Context, store.Bounds) error { return nil }
func (a *admin) ApproximateSize(store.Bounds) (int64, error)      { return 7, nil }
func (a *admin) Property(string) (string, error)                  { return "", store.ErrNotFound }
func (a *admin) Status() []byte                                   { return []byte("{}") }
func (a *admin) Welcome(_ net.Conn, guest Hello) (host Hello)     { return Hello{PID: guest.PID + 1} }
func (a *admin) Forget(store.ClientID)                            {}
func (a *admin) Held() <-chan struct{}                            { return nil }
func (a *admin) Begin(ctx context.Context) (store.Store, func(), error) {
	got := make(chan struct{})
	go func() {
		a.mu.Lock()
		close(got)
	}()
	select {
	case <-got:
		return a.Store, a.mu.Unlock, nil
	case <-ctx.Done():
		go func() { <-got; a.mu.Unlock() }()
		return nil, nil, ctx.Err()
	}
}

// greet returns a link to a party host of an empty store.
func greet(t *testing.T) (*Link, *memstore.Store) {
	t.Helper()
	s := memstore.New()
	host := &Host{Store: s, Admin: &admin{Store: s}}
	mine, theirs := connectedPair(t)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- host.Serve(ctx, theirs, Party) }()
	link := NewLink(mine, Party, NewCalls(), 0)
	t.Cleanup(func() {
		link.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("host: %v", err)
		}
		if n := s.Open(); n != 0 {
			t.Errorf("host left %d iterators and snapshots open", n)
		}
	})
	hello, err := link.Greet(t.Context(), Hello{PID: 1, Client: store.ClientID{1}})
	if err != nil || hello.PID != 2 {
		t.Fatalf("greeted by %+v, %v", hello, err)
	}
	return link, s
}

func (l *Link) mustDo(t *testing.T, r Request) Response {
	t.Helper()
	resp, err := l.Do(t.Context(), r)
	if err != nil {
		t.Fatalf("operation %d: %v", r.Op, err)
	}
	return resp
}

// Property: while a guest has the exclusive right its other writes wait, its
// reads do not, and what it asks for is answered however much waits.
func TestPartyExclusive(t *testing.T) {
	link, s := greet(t)
	tx := link.mustDo(t, Request{Op: OpBegin}).Handle
	if _, err := link.Do(t.Context(), Request{Op: OpBegin}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("second begin: %v, want ErrInvalid", err)
	}
	const n = 3 * maxBackground
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := link.Do(t.Context(), Request{Op: OpPut, Key: []byte{byte(i), 'k'}, Sync: i%2 == 0}); err != nil {
				t.Errorf("a write that waited: %v", err)
			}
		}()
	}
	put := func(handle uint64) error {
		_, err := link.Do(t.Context(), Request{Op: OpPut, Key: []byte("tx"), Value: []byte("v"), Handle: handle})
		return err
	}
	if err := put(tx + 1); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("write by a wrong handle: %v, want ErrInvalid", err)
	}
	if err := put(tx); err != nil {
		t.Errorf("exclusive write: %v", err)
	}
	if got := string(link.mustDo(t, Request{Op: OpGet, Key: []byte("tx")}).Value); got != "v" {
		t.Errorf("got %q, want v", got)
	}
	if n := s.Len(); n != 1 {
		t.Errorf("%d keys beside the exclusive right, want 1", n)
	}
	link.mustDo(t, Request{Op: OpEnd, Handle: tx})
	wg.Wait()
	if err := put(tx); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("write after the end: %v, want ErrInvalid", err)
	}
	if got := s.Len(); got != n+1 {
		t.Errorf("%d keys, want %d", got, n+1)
	}
	// A guest that leaves gives it back.
	link.mustDo(t, Request{Op: OpBegin})
}

func TestPartyHostRefuses(t *testing.T) {
	hello := appendHello(nil, &Hello{Version: 1})
	for name, stream := range map[string][]byte{
		"no hello":          appendRequest(nil, 1, &Request{Op: OpGet}),
		"second hello":      append(bytes.Clone(hello), hello...),
		"other version":     appendHello(nil, &Hello{Version: 99}),
		"hello of nobody":   frame(tagHello, nil),
		"short client":      frame(tagHello, []byte{0x08, 1, 0x12, 1, 'c'}),
		"unknown tag":       append(bytes.Clone(hello), frame(100, []byte{0x08, 1})...),
		"no id":             append(bytes.Clone(hello), frame(0, nil)...),
		"damaged request":   append(bytes.Clone(hello), frame(0, []byte{0x08, 0x80})...),
		"of a wrong type":   append(bytes.Clone(hello), frame(0, []byte{0x0a, 1, 1})...),
		"oversized":         append(bytes.Clone(hello), 0xff, 0xff, 0xff, 0xff, 0x7f),
		"npm's put, no tag": {0x05, 0x01, 0x08, 0x01, 0x12, 0x00},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRawGuest(t, Party, &Host{}, "k")
			g.send(stream)
			err := <-g.ended
			g.ended <- err
			if err == nil || !strings.Contains(g.log.String(), "reason=") {
				t.Errorf("got %v, log %q, want an error and a logged reason", err, g.log)
			}
		})
	}
}

// Requests that make no sense are answered, and the connection lives on.
func TestPartyHostAnswersNonsense(t *testing.T) {
	link, _ := greet(t)
	for name, r := range map[string]Request{
		"damaged batch":    {Op: OpBatch, Records: []byte{1, 99}},
		"unknown snapshot": {Op: OpGet, Handle: 99},
		"unknown cursor":   {Op: OpRead, read: readRequest{cursor: 99}},
	} {
		if _, err := link.Do(t.Context(), r); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	for range maxHandles {
		link.mustDo(t, Request{Op: OpSnapshot})
	}
	if _, err := link.Do(t.Context(), Request{Op: OpSnapshot}); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("a snapshot too many: %v, want ErrTooLarge", err)
	}
}

func TestPartyGoodbye(t *testing.T) {
	mine, theirs := connectedPair(t)
	host := &Host{Store: memstore.New()}
	go host.Serve(context.Background(), theirs, Party)
	link := NewLink(mine, Party, NewCalls(), 0)
	if _, err := link.Greet(t.Context(), Hello{}); err != nil {
		t.Fatal(err)
	}
	host.Goodbye(theirs, 70*time.Millisecond)
	theirs.Close()
	<-link.Down()
	if w := link.Wait(); w != 70*time.Millisecond {
		t.Errorf("wait %v, want 70ms", w)
	}
}

func FuzzPartyHost(f *testing.F) {
	hello := appendHello(nil, &Hello{Version: 1, Client: store.ClientID{1}})
	var all []byte
	for _, c := range partyExamples {
		f.Add(c.frame)
		if !strings.HasPrefix(c.name, "hello") {
			all = append(all, c.frame...)
		}
	}
	f.Add(all)
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
		host := &Host{Store: s, MaxFrame: fuzzFrame, Admin: &admin{Store: s}}
		go func() { ended <- host.Serve(context.Background(), conn, Party) }()
		go io.Copy(io.Discard, guest)
		guest.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := guest.Write(append(bytes.Clone(hello), stream...)); isTimeout(err) {
			t.Fatal("host neither reads nor ends the connection")
		}
		guest.Close()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatal("host hangs")
		}
		if n := s.Open(); n != 0 {
			t.Fatalf("host left %d iterators and snapshots open", n)
		}
	})
}

func FuzzPartyGuest(f *testing.F) {
	for _, c := range partyExamples {
		f.Add(c.frame)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		conn, leader := net.Pipe()
		go io.Copy(io.Discard, leader)
		link := NewLink(conn, Party, NewCalls(), fuzzFrame)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = link.Greet(t.Context(), Hello{})
			_, _ = link.Do(t.Context(), Request{Op: OpGetMany, Keys: make([][]byte, 2)})
			c := link.Cursor(CursorOptions{Limit: -1})
			defer c.Close()
			for {
				if _, err := c.Read(t.Context(), Position{}); err != nil {
					return
				}
			}
		}()
		leader.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := leader.Write(stream); isTimeout(err) {
			t.Fatal("guest neither reads nor ends the link")
		}
		leader.Close()
		for _, ended := range []<-chan struct{}{link.Down(), done} {
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Fatal("guest hangs")
			}
		}
	})
}
