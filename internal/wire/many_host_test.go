package wire

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// manyItems are some sorted keys, of which one is a part of the next.
var manyItems = []string{"k1", "k1~tail", "k2", "k3"}

func manyOpen(m manyIteratorMessage) []byte { return frame(npmIterator, m.append(nil)) }
func manyAck(id, seq, consumed uint64) []byte {
	return frame(manyIteratorAck, appendManyAck(nil, id, seq, consumed))
}
func manySeek(id, seq uint64, target string) []byte {
	return frame(manyIteratorSeek, appendManySeek(nil, id, seq, []byte(target)))
}
func manyClose(id uint64) []byte { return frame(manyIteratorClose, appendManyClose(nil, id)) }

// entries returns the keys of the next frame, which must be data of id and
// seq, or "end" if it is the end.
func (g *rawGuest) entries(id, seq uint64) []string {
	g.t.Helper()
	tag, msg := g.next()
	switch tag {
	case npmIteratorData:
		m, err := decodeManyData(msg)
		if err != nil || m.id != id || m.seq != seq || len(m.data)%2 != 0 {
			g.t.Fatalf("got %d items of iterator %d at %d, %v, want iterator %d at %d", len(m.data), m.id, m.seq, err, id, seq)
		}
		var keys []string
		for i := 0; i < len(m.data); i += 2 {
			if got, want := string(m.data[i+1]), valueOf(string(m.data[i])); got != want {
				g.t.Fatalf("value of %q: got %q", m.data[i], got)
			}
			keys = append(keys, string(m.data[i]))
		}
		return keys
	case manyIteratorEnd:
		m, err := decodeManyStep(msg, tag, true)
		if err != nil || m.id != id || m.seq != seq {
			g.t.Fatalf("got end of iterator %d at %d, %v, want iterator %d at %d", m.id, m.seq, err, id, seq)
		}
		return []string{"end"}
	}
	g.t.Fatalf("got tag %d, want iterator data", tag)
	return nil
}

// walk reads an iterator to its end, acknowledging as npm guests do.
func (g *rawGuest) walk(id, seq, consumed uint64) []string {
	g.t.Helper()
	var all []string
	for {
		keys := g.entries(id, seq)
		if keys[0] == "end" {
			return all
		}
		all = append(all, keys...)
		consumed += uint64(len(keys))
		g.send(manyAck(id, seq, consumed))
	}
}

// TestManyResume checks the places from which an iterator is taken up again.
func TestManyResume(t *testing.T) {
	forward, reverse := everything, everything
	reverse.reverse = true
	for _, test := range []struct {
		name string
		m    manyIteratorMessage
		want string
	}{
		{"start", manyIteratorMessage{options: forward}, "k1 k1~tail k2 k3"},
		{"start in reverse", manyIteratorMessage{options: reverse}, "k3 k2 k1~tail k1"},
		{"bookmark", manyIteratorMessage{options: forward, bookmark: []byte("k1")}, "k1~tail k2 k3"},
		{"bookmark in reverse", manyIteratorMessage{options: reverse, bookmark: []byte("k2")}, "k1~tail k1"},
		{"bookmark that is gone, in reverse", manyIteratorMessage{options: reverse, bookmark: []byte("k2x")}, "k2 k1~tail k1"},
		{"last bookmark", manyIteratorMessage{options: forward, bookmark: []byte("k3")}, ""},
		{"last bookmark in reverse", manyIteratorMessage{options: reverse, bookmark: []byte("k1")}, ""},
		{"empty bookmark", manyIteratorMessage{options: forward, bookmark: []byte{}}, "k1 k1~tail k2 k3"},
		{"empty bookmark in reverse", manyIteratorMessage{options: reverse, bookmark: []byte{}}, ""},
		{"bookmark above all, in reverse", manyIteratorMessage{options: reverse, bookmark: []byte("z")}, "k3 k2 k1~tail k1"},
		{"seek", manyIteratorMessage{options: forward, seek: []byte("k1a")}, "k1~tail k2 k3"},
		{"seek in reverse", manyIteratorMessage{options: reverse, seek: []byte("k2a")}, "k2 k1~tail k1"},
		{"seek to a key, in reverse", manyIteratorMessage{options: reverse, seek: []byte("k2")}, "k2 k1~tail k1"},
		{"seek outweighs bookmark", manyIteratorMessage{options: forward, seek: []byte("k1"), bookmark: []byte("k3")}, "k1 k1~tail k2 k3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := newRawGuest(t, Many, &Host{}, manyItems...)
			test.m.id, test.m.seq = 7, 3
			g.send(manyOpen(test.m))
			if got := strings.Join(g.walk(7, 3, 0), " "); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			g.send(manyClose(7))
			g.quiet()
		})
	}
}

// TestManyLimit checks that what was consumed on an earlier connection counts.
func TestManyLimit(t *testing.T) {
	for _, test := range []struct {
		limit    int64
		consumed uint64
		bookmark string
		want     string
	}{
		{-1, 0, "", "k1 k1~tail k2 k3"},
		{0, 0, "", ""},
		{1, 0, "", "k1"},
		{3, 0, "", "k1 k1~tail k2"},
		{3, 1, "k1", "k1~tail k2"},
		{3, 3, "k2", ""},
		{3, 1 << 63, "k2", ""},
		{100, 0, "", "k1 k1~tail k2 k3"},
	} {
		g := newRawGuest(t, Many, &Host{}, manyItems...)
		o := everything
		o.limit = test.limit
		m := manyIteratorMessage{id: 1, options: o, consumed: test.consumed}
		if test.bookmark != "" {
			m.bookmark = []byte(test.bookmark)
		}
		g.send(manyOpen(m))
		if got := strings.Join(g.walk(1, 0, test.consumed), " "); got != test.want {
			t.Errorf("%+v: got %q", test, got)
		}
	}
}

// TestManyFlow checks that one entry comes first, and then no more than two
// chunks that are not acknowledged.
func TestManyFlow(t *testing.T) {
	var keys []string
	for i := range 20000 {
		keys = append(keys, fmt.Sprintf("%06d", i))
	}
	g := newRawGuest(t, Many, &Host{}, keys...)
	g.send(manyOpen(manyIteratorMessage{id: 1, options: everything}))
	got := g.entries(1, 0)
	if len(got) != 1 {
		t.Fatalf("first chunk: %d entries, want 1", len(got))
	}
	g.quiet()
	g.send(manyAck(1, 9, 1)) // of another seq
	g.quiet()
	g.send(manyAck(1, 0, 1))
	for range 2 {
		chunk := g.entries(1, 0)
		if len(chunk) < 100 || len(chunk) > 2000 {
			t.Fatalf("chunk of %d entries", len(chunk))
		}
		got = append(got, chunk...)
	}
	g.quiet()
	g.send(manyAck(1, 0, uint64(len(got))))
	got = append(got, g.entries(1, 0)...)
	g.quiet()

	// Acknowledged together, the rest comes without a hole.
	g.send(manyAck(1, 0, uint64(len(got))), manyAck(1, 0, uint64(len(got))))
	got = append(got, g.walk(1, 0, uint64(len(got)))...)
	if !slices.Equal(got, keys) {
		t.Errorf("got %d entries, want all %d", len(got), len(keys))
	}
}

// TestManySeek checks seeks, also beyond the end and out of range, and that an
// iterator keeps its snapshot over them.
func TestManySeek(t *testing.T) {
	g := newRawGuest(t, Many, &Host{}, manyItems...)
	o := everything
	o.lt = []byte("k3")
	g.send(manyOpen(manyIteratorMessage{id: 1, options: o}))
	g.entries(1, 0)
	g.send(put(5, "k1a", valueOf("k1a")))
	g.callback()
	for seq, test := range []struct{ target, want string }{
		{"k2", "k2"},
		{"k1", "k1 k1~tail k2"},
		{"", "k1 k1~tail k2"},
		{"k3", ""}, // out of range
		{"k1~", "k1~tail k2"},
		{"zzz", ""},
	} {
		seq := uint64(seq + 1)
		g.send(manySeek(1, seq, test.target))
		if got := strings.Join(g.walk(1, seq, 0), " "); got != test.want {
			t.Errorf("seek to %q: got %q, want %q", test.target, got, test.want)
		}
	}
	g.send(manySeek(2, 1, "k1"), manyAck(2, 0, 1), manyClose(2)) // no such iterator
	g.quiet()
	// An id in use keeps its iterator.
	g.send(manyOpen(manyIteratorMessage{id: 1, options: everything}))
	g.quiet()
	g.send(manyClose(1), manyOpen(manyIteratorMessage{id: 1, options: everything}))
	if got := strings.Join(g.walk(1, 0, 0), " "); got != "k1 k1a k1~tail k2 k3" {
		t.Errorf("new iterator with an old id: got %q", got)
	}
}

// TestManyRange checks what range options mean to classic-level.
func TestManyRange(t *testing.T) {
	b := func(s string) []byte { return []byte(s) }
	for _, test := range []struct {
		o    npmOptions
		want string
	}{
		{npmOptions{gt: b("k1")}, "k1~tail k2 k3"},
		{npmOptions{gte: b("k1~tail"), lt: b("k3")}, "k1~tail k2"},
		{npmOptions{gt: b("k2"), gte: b("k1")}, "k1 k1~tail k2 k3"}, // gte counts
		{npmOptions{lt: b("k1"), lte: b("k2")}, "k1 k1~tail k2"},    // lte counts
		{npmOptions{lt: b("")}, ""},
		{npmOptions{lte: b("")}, ""},
		{npmOptions{gt: b(""), gte: b("")}, "k1 k1~tail k2 k3"},
		{npmOptions{gt: b("k3"), lt: b("k1")}, ""},
	} {
		for _, reverse := range []bool{false, true} {
			o := test.o
			o.keys, o.values, o.limit, o.reverse = true, true, -1, reverse
			g := newRawGuest(t, Many, &Host{}, manyItems...)
			g.send(manyOpen(manyIteratorMessage{id: 1, options: o}))
			got := g.walk(1, 0, 0)
			if reverse {
				slices.Reverse(got)
			}
			if got := strings.Join(got, " "); got != test.want {
				t.Errorf("%+v: got %q, want %q", o, got, test.want)
			}
		}
	}
}

// TestManyShapes checks that what a guest does not want is left out.
func TestManyShapes(t *testing.T) {
	for _, test := range []struct {
		keys, values bool
		want         string
	}{{true, false, "k1"}, {false, true, valueOf("k1")}, {false, false, valueOf("k1")}} {
		g := newRawGuest(t, Many, &Host{}, manyItems...)
		g.send(manyOpen(manyIteratorMessage{id: 1, options: npmOptions{keys: test.keys, values: test.values, limit: -1}}))
		_, msg := g.next()
		m, err := decodeManyData(msg)
		if err != nil || len(m.data) != 1 || string(m.data[0]) != test.want {
			t.Errorf("keys %t, values %t: got %q, %v, want %q", test.keys, test.values, m.data, err, test.want)
		}
	}
}
