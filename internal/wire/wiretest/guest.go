// Package wiretest tests a guest of the npm protocols against any host: one of
// ours, or one of the npm packages.
package wiretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/wire"
)

// Guest runs all tests. dial connects to an empty database that nobody else
// uses; each test gets its own.
func Guest(t *testing.T, p wire.Proto, dial func(t *testing.T) net.Conn) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *guest)
	}{
		{"Calls", testCalls},
		{"Clear", testClear},
		{"NotSupported", testNotSupported},
		{"Concurrent", testConcurrent},
		{"Walks", testWalks},
		{"Moves", testMoves},
		{"LargeValues", testLargeValues},
		{"OneSnapshot", testOneSnapshot},
		{"EmptyRange", testEmptyRange},
		{"ManyCursors", testManyCursors},
		{"LinkDown", testLinkDown},
	} {
		t.Run(test.name, func(t *testing.T) {
			calls := wire.NewCalls()
			link := wire.NewLink(dial(t), p, calls, 0)
			t.Cleanup(link.Close)
			test.run(t, &guest{t, link, calls})
		})
	}
}

type guest struct {
	t     *testing.T
	link  *wire.Link
	calls *wire.Calls
}

// try makes a call and waits for its outcome.
func (g *guest) try(req wire.Request) (wire.Response, error) {
	g.t.Helper()
	c := wire.NewCall(req)
	g.calls.Add(c)
	if err := g.link.Send(c); err != nil {
		g.calls.Take(c.ID)
		return wire.Response{}, err
	}
	g.link.Flush()
	select {
	case <-c.Done():
	case <-g.link.Down():
		g.t.Fatalf("link went down: %v", g.link.Err())
	case <-time.After(30 * time.Second):
		g.t.Fatalf("no answer to operation %d", req.Op)
	}
	return c.Response, c.Err
}

// do makes a call that must succeed.
func (g *guest) do(req wire.Request) wire.Response {
	g.t.Helper()
	r, err := g.try(req)
	if err != nil {
		g.t.Fatalf("operation %d: %v", req.Op, err)
	}
	return r
}

func (g *guest) put(key, value string) {
	g.t.Helper()
	g.do(wire.Request{Op: wire.OpPut, Key: []byte(key), Value: []byte(value)})
}

// fill writes keys in one batch. The value of a key is valueOf it.
func (g *guest) fill(keys []string) {
	g.t.Helper()
	var records []byte
	for _, k := range keys {
		records = format.AppendPut(records, []byte(k), []byte(valueOf(k)))
	}
	g.do(wire.Request{Op: wire.OpBatch, Records: records})
}

func valueOf(key string) string { return "value of " + key }

// walk reads a cursor from pos to its end.
func (g *guest) walk(c wire.Cursor, pos wire.Position) [][]byte {
	g.t.Helper()
	var all [][]byte
	for {
		chunk := g.read(c, pos)
		all = append(all, chunk.Entries...)
		if chunk.End {
			return all
		}
		pos = wire.Position{Kind: wire.Continue, Reverse: pos.Reverse}
	}
}

func (g *guest) read(c wire.Cursor, pos wire.Position) *wire.Chunk {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 30*time.Second)
	defer cancel()
	chunk, err := c.Read(ctx, pos)
	if err != nil {
		g.t.Fatalf("read from %+v: %v", pos, err)
	}
	if len(chunk.Entries)%2 != 0 || len(chunk.Entries) == 0 && !chunk.End {
		g.t.Fatalf("read from %+v: %d parts of entries, end %t", pos, len(chunk.Entries), chunk.End)
	}
	return chunk
}

func testCalls(t *testing.T, g *guest) {
	if _, err := g.try(wire.Request{Op: wire.OpGet, Key: []byte("missing")}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get of a missing key: got %v, want ErrNotFound", err)
	}
	if r := g.do(wire.Request{Op: wire.OpHas, Key: []byte("missing")}); r.More {
		t.Error("has of a missing key: got true")
	}
	binary := string([]byte{0, 1, 127, 128, 255, 0})
	for _, kv := range [][2]string{{"a", "1"}, {"empty", ""}, {binary, binary}, {"a", "2"}} {
		g.put(kv[0], kv[1])
		r := g.do(wire.Request{Op: wire.OpGet, Key: []byte(kv[0])})
		if r.Value == nil || string(r.Value) != kv[1] {
			t.Errorf("get %q: got %q, want %q", kv[0], r.Value, kv[1])
		}
		if r := g.do(wire.Request{Op: wire.OpHas, Key: []byte(kv[0])}); !r.More || r.Value != nil {
			t.Errorf("has %q: got %+v", kv[0], r)
		}
	}
	r := g.do(wire.Request{Op: wire.OpGetMany, Keys: [][]byte{[]byte("a"), []byte("none"), []byte("empty"), []byte("a")}})
	want := [][]byte{[]byte("2"), nil, {}, []byte("2")}
	if !slices.EqualFunc(r.Values, want, func(x, y []byte) bool { return bytes.Equal(x, y) && (x == nil) == (y == nil) }) {
		t.Errorf("get many: got %q, want %q", r.Values, want)
	}
	if r := g.do(wire.Request{Op: wire.OpGetMany}); len(r.Values) != 0 {
		t.Errorf("get many of nothing: got %q", r.Values)
	}
	g.do(wire.Request{Op: wire.OpBatch})
	var records []byte
	records = format.AppendPut(records, []byte("b"), []byte("1"))
	records = format.AppendDelete(records, []byte("a"))
	records = format.AppendPut(records, []byte("b"), nil)
	g.do(wire.Request{Op: wire.OpBatch, Records: records})
	if r := g.do(wire.Request{Op: wire.OpGet, Key: []byte("b")}); r.Value == nil || len(r.Value) != 0 {
		t.Errorf("get after batch: got %q, want an empty value", r.Value)
	}
	if r := g.do(wire.Request{Op: wire.OpHas, Key: []byte("a")}); r.More {
		t.Error("has of a key the batch deleted: got true")
	}
	g.do(wire.Request{Op: wire.OpDelete, Key: []byte("b")})
	g.do(wire.Request{Op: wire.OpDelete, Key: []byte("b")})
	if _, err := g.try(wire.Request{Op: wire.OpGet, Key: []byte("b")}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get of a deleted key: got %v, want ErrNotFound", err)
	}
}

func testClear(t *testing.T, g *guest) {
	keys := []string{"a", "b", "c", "d", "e"}
	for _, test := range []struct {
		lower, upper []byte
		limit        int64
		reverse      bool
		want         string
	}{
		{nil, nil, -1, false, "[]"},
		{[]byte("b"), []byte("d"), -1, false, "[a d e]"},
		{[]byte("b"), nil, 2, false, "[a d e]"},
		{[]byte("b"), nil, 2, true, "[a b c]"},
		{nil, []byte("c"), 10, true, "[c d e]"},
		{nil, nil, 0, false, "[a b c d e]"},
		{nil, []byte{}, -1, false, "[a b c d e]"},
		{[]byte("d"), []byte("b"), -1, false, "[a b c d e]"},
		{[]byte{}, []byte("b"), -1, false, "[b c d e]"},
	} {
		g.fill(keys)
		r := g.do(wire.Request{Op: wire.OpClear, Bounds: store.Bounds{Lower: test.lower, Upper: test.upper}, Limit: test.limit, Reverse: test.reverse})
		if r.Count != -1 || r.More {
			t.Errorf("clear %+v: got count %d, more %t, want -1, false", test, r.Count, r.More)
		}
		c := g.link.Cursor(wire.CursorOptions{Limit: -1, NoValues: true})
		var left []string
		for i, part := range g.walk(c, wire.Position{Kind: wire.Start}) {
			if i%2 == 0 {
				left = append(left, string(part))
			}
		}
		c.Close()
		if got := fmt.Sprint(left); got != test.want {
			t.Errorf("clear %+v: left %s, want %s", test, got, test.want)
		}
	}
}

func testNotSupported(t *testing.T, g *guest) {
	for _, req := range []wire.Request{
		{Op: wire.OpPut, Key: []byte("k"), Sync: true},
		{Op: wire.OpGet, Key: []byte("k"), Handle: 1},
		{Op: wire.OpSnapshot}, {Op: wire.OpBegin}, {Op: wire.OpCompact}, {Op: wire.OpStatus}, {Op: wire.OpProperty},
	} {
		if _, err := g.try(req); !errors.Is(err, store.ErrNotSupported) {
			t.Errorf("operation %d: got %v, want ErrNotSupported", req.Op, err)
		}
	}
	if n := len(g.calls.Waiting()); n != 0 {
		t.Errorf("%d calls wait", n)
	}
}

func testConcurrent(t *testing.T, g *guest) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				key := []byte(fmt.Sprintf("%d/%d", i, j))
				for _, req := range []wire.Request{{Op: wire.OpPut, Key: key, Value: key}, {Op: wire.OpGet, Key: key}} {
					r, err := g.try(req)
					if err != nil || req.Op == wire.OpGet && !bytes.Equal(r.Value, key) {
						t.Errorf("operation %d of %s: got %q, %v", req.Op, key, r.Value, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// manyKeys returns n sorted keys, some of them parts of others.
func manyKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("k%04d", i/2)
		if i%2 == 1 {
			keys[i] += "~tail"
		}
	}
	return keys
}

// model answers what a cursor should.
type model struct {
	keys []string // sorted, within the bounds
}

func newModel(keys []string, b store.Bounds) model {
	var m model
	for _, k := range keys {
		if b.Contains([]byte(k)) {
			m.keys = append(m.keys, k)
		}
	}
	return m
}

// from returns what a walk from pos must see.
func (m model) from(pos wire.Position) []string {
	i := 0
	if pos.Kind == wire.From {
		i, _ = slices.BinarySearch(m.keys, string(pos.Key))
	}
	if !pos.Reverse {
		return m.keys[i:]
	}
	if pos.Kind == wire.Start {
		i = len(m.keys)
	}
	back := slices.Clone(m.keys[:i])
	slices.Reverse(back)
	return back
}

func checkEntries(t *testing.T, what string, got [][]byte, keys []string, noValues bool) {
	t.Helper()
	if len(got) != 2*len(keys) {
		t.Fatalf("%s: got %d entries, want %d", what, len(got)/2, len(keys))
	}
	for i, key := range keys {
		value := valueOf(key)
		if noValues {
			value = ""
		}
		if string(got[2*i]) != key || string(got[2*i+1]) != value || noValues != (got[2*i+1] == nil) {
			t.Fatalf("%s: entry %d: got %q=%q, want %q=%q", what, i, got[2*i], got[2*i+1], key, value)
		}
	}
}

var someBounds = []store.Bounds{
	{},
	{Lower: []byte("k0010")},
	{Upper: []byte("k0100")},
	{Lower: []byte("k0010~"), Upper: []byte("k0700~tail")},
	{Lower: []byte("k0005"), Upper: []byte("k0005\x00")},
	{Lower: []byte("zzz")},
	{Upper: []byte{}},
	{Lower: []byte("b"), Upper: []byte("a")},
	{Lower: []byte{}},
}

func testWalks(t *testing.T, g *guest) {
	keys := manyKeys(2000)
	g.fill(keys)
	for _, b := range someBounds {
		m := newModel(keys, b)
		for _, reverse := range []bool{false, true} {
			for _, noValues := range []bool{false, true} {
				c := g.link.Cursor(wire.CursorOptions{Bounds: b, Limit: -1, NoValues: noValues})
				pos := wire.Position{Kind: wire.Start, Reverse: reverse}
				got := g.walk(c, pos)
				c.Close()
				checkEntries(t, fmt.Sprintf("%+v reverse %t", b, reverse), got, m.from(pos), noValues)
			}
			// A limit may be exceeded, never undercut.
			c := g.link.Cursor(wire.CursorOptions{Bounds: b, Limit: 70})
			pos := wire.Position{Kind: wire.Start, Reverse: reverse}
			want := m.from(pos)
			want = want[:min(70, len(want))]
			var got [][]byte
			for len(got) < 2*len(want) {
				chunk := g.read(c, pos)
				got = append(got, chunk.Entries...)
				pos.Kind = wire.Continue
				if chunk.End {
					break
				}
			}
			c.Close()
			checkEntries(t, fmt.Sprintf("%+v reverse %t limit", b, reverse), got[:min(len(got), 2*len(want))], want, false)
		}
	}
}

// testMoves moves cursors about at random and holds them against a model.
func testMoves(t *testing.T, g *guest) {
	keys := manyKeys(600)
	g.fill(keys)
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	for round := range 60 {
		b := someBounds[rnd.IntN(len(someBounds))]
		m := newModel(keys, b)
		c := g.link.Cursor(wire.CursorOptions{Bounds: b, Limit: -1})
		var want []string // what Continue must bring
		var dir, placed bool
		for step := range 12 {
			pos := wire.Position{Kind: wire.PositionKind(rnd.IntN(3)), Reverse: rnd.IntN(2) == 0}
			switch pos.Kind {
			case wire.Continue:
				if !placed {
					continue
				}
				pos.Reverse = dir
			case wire.From:
				pos.Key = []byte(keys[rnd.IntN(len(keys))])
				switch rnd.IntN(6) {
				case 0:
					pos.Key = append(pos.Key, '!')
				case 1:
					pos.Key = []byte("zzzz")
				case 2:
					pos.Key = []byte("a")
				}
			}
			if pos.Kind != wire.Continue {
				want, dir, placed = m.from(pos), pos.Reverse, true
			}
			chunk := g.read(c, pos)
			n := len(chunk.Entries) / 2
			what := fmt.Sprintf("seed %d round %d step %d bounds %q move %d %q reverse %t", seed, round, step, b, pos.Kind, pos.Key, pos.Reverse)
			if n > len(want) || chunk.End && n != len(want) {
				t.Fatalf("%s: got %d entries, end %t, want %d", what, n, chunk.End, len(want))
			}
			checkEntries(t, what, chunk.Entries, want[:n], false)
			want = want[n:]
		}
		c.Close()
	}
}

func testLargeValues(t *testing.T, g *guest) {
	want := make(map[string][]byte)
	for i := range 20 {
		key := fmt.Sprintf("k%02d", i)
		want[key] = bytes.Repeat([]byte{byte(i)}, 300<<10)
		g.put(key, string(want[key]))
	}
	c := g.link.Cursor(wire.CursorOptions{Limit: -1})
	got := g.walk(c, wire.Position{Kind: wire.Start})
	c.Close()
	if len(got) != 40 {
		t.Fatalf("got %d entries, want 20", len(got)/2)
	}
	for i := 0; i < len(got); i += 2 {
		if !bytes.Equal(got[i+1], want[string(got[i])]) {
			t.Errorf("%s: wrong value", got[i])
		}
	}
}

func testOneSnapshot(t *testing.T, g *guest) {
	keys := manyKeys(100)
	g.fill(keys)
	m := newModel(keys, store.Bounds{})
	for _, reverse := range []bool{false, true} {
		c := g.link.Cursor(wire.CursorOptions{Limit: -1, OneSnapshot: true})
		start := wire.Position{Kind: wire.Start, Reverse: reverse}
		checkEntries(t, "first walk", g.walk(c, start), m.from(start), false)
		// Within k0000~tail and k0001, and behind everything.
		g.put("k0000~x", "new")
		g.put("z", "new")
		from := wire.Position{Kind: wire.From, Key: []byte("k0020"), Reverse: reverse}
		for _, pos := range []wire.Position{start, from, start} {
			if g.link.Proto() == wire.Multi {
				if _, err := c.Read(t.Context(), pos); !errors.Is(err, store.ErrNotSupported) {
					t.Errorf("move: got %v, want ErrNotSupported", err)
				}
				continue
			}
			checkEntries(t, "walk after a move", g.walk(c, pos), m.from(pos), false)
		}
		if _, err := c.Read(t.Context(), wire.Position{Kind: wire.Start, Reverse: !reverse}); !errors.Is(err, store.ErrNotSupported) {
			t.Errorf("turn: got %v, want ErrNotSupported", err)
		}
		c.Close()
		if _, err := c.Read(t.Context(), start); !errors.Is(err, store.ErrClosed) {
			t.Errorf("read of a closed cursor: got %v, want ErrClosed", err)
		}
		for _, key := range []string{"k0000~x", "z"} {
			g.do(wire.Request{Op: wire.OpDelete, Key: []byte(key)})
		}
	}
}

// testEmptyRange walks where nothing is, again and again.
func testEmptyRange(t *testing.T, g *guest) {
	g.fill([]string{"a", "c"})
	for _, reverse := range []bool{false, true} {
		c := g.link.Cursor(wire.CursorOptions{
			Bounds: store.Bounds{Lower: []byte("b"), Upper: []byte("c")}, Limit: -1, OneSnapshot: g.link.Proto() == wire.Many,
		})
		for range 3 {
			if got := g.walk(c, wire.Position{Kind: wire.Start, Reverse: reverse}); len(got) != 0 {
				t.Errorf("reverse %t: got %q", reverse, got)
			}
		}
		c.Close()
	}
}

// testManyCursors leaves cursors in the middle, so that what they still get is
// under way when others take their place.
func testManyCursors(t *testing.T, g *guest) {
	keys := manyKeys(200)
	g.fill(keys)
	m := newModel(keys, store.Bounds{})
	type open struct {
		c    wire.Cursor
		want []string
	}
	var kept []open
	for i := range 2500 {
		c := g.link.Cursor(wire.CursorOptions{Limit: -1})
		pos := wire.Position{Kind: wire.From, Key: []byte(keys[i%len(keys)]), Reverse: i%3 == 0}
		want := m.from(pos)
		for reads := range 1 + i%2 {
			chunk := g.read(c, pos)
			checkEntries(t, fmt.Sprintf("cursor %d read %d", i, reads), chunk.Entries, want[:len(chunk.Entries)/2], false)
			want = want[len(chunk.Entries)/2:]
			pos.Kind = wire.Continue
		}
		if i%100 == 7 {
			kept = append(kept, open{c, want})
			continue
		}
		c.Close()
	}
	for i, o := range kept {
		got := g.walk(o.c, wire.Position{Kind: wire.Continue, Reverse: (i*100+7)%3 == 0})
		checkEntries(t, fmt.Sprintf("kept cursor %d", i), got, o.want, false)
		o.c.Close()
	}
}

func testLinkDown(t *testing.T, g *guest) {
	g.fill(manyKeys(3000))
	c := g.link.Cursor(wire.CursorOptions{Limit: -1})
	g.read(c, wire.Position{Kind: wire.Start})
	g.link.Close()
	<-g.link.Down()
	for {
		chunk, err := c.Read(t.Context(), wire.Position{Kind: wire.Continue})
		if err != nil {
			if !errors.Is(err, store.ErrConnectionLost) {
				t.Errorf("read: got %v, want ErrConnectionLost", err)
			}
			break
		}
		if chunk.End {
			t.Fatal("read to the end without a link")
		}
	}
	fresh := g.link.Cursor(wire.CursorOptions{Limit: -1})
	if _, err := fresh.Read(t.Context(), wire.Position{Kind: wire.Start}); !errors.Is(err, store.ErrConnectionLost) {
		t.Errorf("read of a new cursor: got %v, want ErrConnectionLost", err)
	}
	fresh.Close()
	c.Close()
}
