package wire

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func multiOpen(id, batch uint64, o npmOptions) []byte {
	return frame(npmIterator, multiIteratorMessage{id, batch, o, true}.append(nil))
}

func multiCredit(id, batch uint64) []byte {
	return frame(npmIterator, multiIteratorMessage{id: id, batch: batch}.append(nil))
}

// entry returns the key of the next frame, which must be data of id, or "end".
func (g *rawGuest) entry(id uint64) string {
	g.t.Helper()
	tag, msg := g.next()
	m, err := decodeMultiData(msg)
	if tag != npmIteratorData || err != nil || m.id != id || len(m.error) > 0 {
		g.t.Fatalf("got tag %d %+v, %v, want data of iterator %d", tag, m, err, id)
	}
	if m.key == nil && m.value == nil {
		return "end"
	}
	if got, want := string(m.value), valueOf(string(m.key)); got != want {
		g.t.Fatalf("value of %q: got %q", m.key, got)
	}
	return string(m.key)
}

// TestMultiFlow checks that credit is set, not added, that nothing comes
// without it or after a close, and that an id can be used again at once.
func TestMultiFlow(t *testing.T) {
	var keys []string
	for i := range 100 {
		keys = append(keys, fmt.Sprintf("%03d", i))
	}
	g := newRawGuest(t, Multi, &Host{}, keys...)
	g.send(multiOpen(3, 10, everything))
	var got []string
	take := func(n int) {
		t.Helper()
		for range n {
			got = append(got, g.entry(3))
		}
		g.quiet()
	}
	take(10)
	g.send(multiCredit(3, 5))
	take(5)
	g.send(multiCredit(3, 1), multiCredit(3, 1))
	take(2)
	g.send(multiCredit(3, 1000))
	take(84)
	if want := append(slices.Clone(keys), "end"); !slices.Equal(got, want) {
		t.Errorf("got %q, want all keys and the end", got)
	}
	g.send(multiCredit(3, 10)) // behind the end
	g.quiet()
	g.send(multiCredit(3, 0), multiCredit(3, 0))
	g.quiet()

	reverse := everything
	reverse.reverse, reverse.limit = true, 2
	g.send(multiOpen(3, 1, everything), multiCredit(3, 0), multiOpen(3, 10, reverse))
	got = nil
	take(4)
	if got := strings.Join(got, " "); got != "000 099 098 end" {
		t.Errorf("id used again: got %q", got)
	}
	if n := g.store.Open(); n != 0 {
		t.Errorf("%d iterators open at their end", n)
	}
}

// TestMultiOptions checks what options mean to leveldown, null fields and all.
func TestMultiOptions(t *testing.T) {
	b := func(s string) []byte { return []byte(s) }
	for _, test := range []struct {
		o    npmOptions
		want string
	}{
		{npmOptions{limit: -1}, "k1 k1~tail k2 k3 end"},
		{npmOptions{limit: -1, gt: b(""), gte: b(""), lt: b(""), lte: b("")}, "k1 k1~tail k2 k3 end"},
		{npmOptions{limit: -1, gt: b("k1"), lte: b("k2")}, "k1~tail k2 end"},
		{npmOptions{limit: -1, gt: b("k1"), gte: b("k0"), lt: b("k3"), lte: b("k4")}, "k1~tail k2 end"},
		{npmOptions{limit: 0}, "end"},
		{npmOptions{limit: 2}, "k1 k1~tail end"},
		{npmOptions{limit: 2, reverse: true}, "k3 k2 end"},
		{npmOptions{limit: -1, gt: b("z"), reverse: true}, "end"},
	} {
		test.o.keys, test.o.values = true, true
		g := newRawGuest(t, Multi, &Host{}, manyItems...)
		g.send(multiOpen(0, 32, test.o))
		var got []string
		for len(got) == 0 || got[len(got)-1] != "end" {
			got = append(got, g.entry(0))
		}
		if got := strings.Join(got, " "); got != test.want {
			t.Errorf("%+v: got %q, want %q", test.o, got, test.want)
		}
	}

	// Without options an iterator walks everything.
	g := newRawGuest(t, Multi, &Host{}, "a")
	g.send(multiCredit(1, 32))
	if got := g.entry(1) + " " + g.entry(1); got != "a end" {
		t.Errorf("without options: got %q", got)
	}
}

// TestMultiShapes checks that an unwanted side is sent empty, as leveldown
// makes it: an entry with neither would be the end.
func TestMultiShapes(t *testing.T) {
	for _, test := range []struct {
		keys, values bool
		key, value   string
	}{{true, false, "k1", ""}, {false, true, "", valueOf("k1")}, {false, false, "", ""}} {
		g := newRawGuest(t, Multi, &Host{}, manyItems...)
		g.send(multiOpen(1, 1, npmOptions{keys: test.keys, values: test.values, limit: -1}))
		_, msg := g.next()
		m, err := decodeMultiData(msg)
		if err != nil || m.key == nil || m.value == nil || string(m.key) != test.key || string(m.value) != test.value {
			t.Errorf("keys %t, values %t: got %q %q, %v", test.keys, test.values, m.key, m.value, err)
		}
	}
}

// TestMultiClear checks that clear takes empty options for absent ones, too.
func TestMultiClear(t *testing.T) {
	g := newRawGuest(t, Multi, &Host{}, manyItems...)
	g.store.ClearChunk = 1
	g.send(frame(npmClear, clearMessage{1, npmOptions{lt: []byte{}, gte: []byte("k1~"), limit: 2, reverse: true}}.append(nil)))
	if m := g.callback(); len(m.error) > 0 || g.store.Len() != 2 {
		t.Errorf("got error %q, %d keys left, want 2", m.error, g.store.Len())
	}
}
