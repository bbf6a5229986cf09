package party_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/dbtest"
	"github.com/levelparty/party/internal/partytest"
	"github.com/levelparty/party/internal/wire"
)

// A way is how a handle is held. Whatever a handle promises must hold in every
// way, but for what a Node leader's protocol has no message for.
type way struct {
	name string
	open func(t *testing.T) *party.DB // on an empty database
	npm  bool                         // through a protocol of the npm packages
}

func ways() []way {
	sockets := &party.Options{Sockets: true}
	// beside opens the handle while another leads.
	beside := func(role party.Role, o *party.Options, lead func(t *testing.T, dir string)) func(t *testing.T) *party.DB {
		return func(t *testing.T) *party.DB {
			if role == party.Member {
				needMemory(t)
			}
			dir := dbtest.Dir(t)
			lead(t, dir)
			db := open(t, dir, o)
			if db.Role() != role {
				t.Fatalf("role %v, want %v", db.Role(), role)
			}
			return db
		}
	}
	leader := func(o *party.Options) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { openAs(t, party.Leader, dir, o) }
	}
	elsewhere := func(t *testing.T, dir string) {
		var s string
		partytest.Start(t, "lead", dir).Expect(&s)
	}
	node := func(kind string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			p := partytest.Node(t, "peer.js", kind, dir)
			var r struct{ Kind string }
			for r.Kind != "ready" {
				p.Expect(&r)
			}
		}
	}
	alone := func(o *party.Options) func(t *testing.T) *party.DB {
		return func(t *testing.T) *party.DB { return openAs(t, party.Leader, dbtest.Dir(t), o) }
	}
	many, multi := party.Options{}.Only(wire.Many), party.Options{}.Only(wire.Multi)
	return []way{
		{"leader of members", alone(nil), false},
		{"leader alone", alone(sockets), false},
		{"member", beside(party.Member, nil, leader(nil)), false},
		{"member of another process", beside(party.Member, nil, elsewhere), false},
		{"guest of a member", beside(party.Guest, sockets, leader(nil)), false},
		{"guest of a leader alone", beside(party.Guest, nil, leader(sockets)), false},
		{"guest of a member over rave-level's protocol", beside(party.Guest, many, leader(nil)), true},
		{"guest of a member over level-party's protocol", beside(party.Guest, multi, leader(nil)), true},
		{"guest of a leader alone over rave-level's protocol", beside(party.Guest, many, leader(sockets)), true},
		{"guest of a leader alone over level-party's protocol", beside(party.Guest, multi, leader(sockets)), true},
		{"guest of rave-level", beside(party.Guest, nil, node("rave")), true},
		{"guest of level-party", beside(party.Guest, nil, node("party")), true},
	}
}

// TestConformance runs the one suite over every way to hold a handle.
func TestConformance(t *testing.T) {
	tests := []struct {
		name string
		run  func(*testing.T, *party.DB, way)
	}{
		{"PutGetDelete", testPutGetDelete},
		{"GetMany", testGetMany},
		{"Batch", testBatch},
		{"BinaryKeys", testBinaryKeys},
		{"LargeValues", testLargeValues},
		{"Ranges", testRanges},
		{"Moves", testMoves},
		{"RangeOverFunc", testRangeOverFunc},
		{"Clear", testClear},
		{"Sync", testSync},
		{"Snapshot", testSnapshot},
		{"Admin", testAdmin},
		{"Exclusive", testExclusive},
		{"Concurrent", testConcurrent},
		{"Canceled", testCanceled},
		{"Closed", testClosed},
		{"Model", testModel},
	}
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			for _, test := range tests {
				t.Run(test.name, func(t *testing.T) { test.run(t, w.open(t), w) })
			}
		})
	}
}

var bg = context.Background()

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// all returns the entries as key=value.
func all(t *testing.T, r party.Reader, o party.IteratorOptions) (s []string) {
	t.Helper()
	for e, err := range party.All(bg, r, o) {
		must(t, err)
		s = append(s, string(e.Key)+"="+string(e.Value))
	}
	return s
}

func testPutGetDelete(t *testing.T, db *party.DB, _ way) {
	k := []byte("key")
	_, err := db.Get(bg, k)
	wantErr(t, "get of a missing key", err, party.ErrNotFound)
	must(t, db.Put(bg, k, []byte("one")))
	must(t, db.Put(bg, k, []byte("two")))
	v, err := db.Get(bg, k)
	if err != nil || string(v) != "two" {
		t.Errorf("got %q, %v; want two", v, err)
	}
	ok, err := db.Has(bg, k)
	if err != nil || !ok {
		t.Errorf("has: %v, %v", ok, err)
	}
	must(t, db.Put(bg, []byte("empty"), nil))
	v, err = db.Get(bg, []byte("empty"))
	if err != nil || v == nil || len(v) != 0 {
		t.Errorf("empty value: %#v, %v", v, err)
	}
	must(t, db.Delete(bg, k))
	must(t, db.Delete(bg, k)) // a missing key is no error
	ok, err = db.Has(bg, k)
	if err != nil || ok {
		t.Errorf("has after delete: %v, %v", ok, err)
	}
}

func testGetMany(t *testing.T, db *party.DB, _ way) {
	must(t, db.Put(bg, []byte("a"), []byte("1")))
	must(t, db.Put(bg, []byte("b"), nil))
	v, err := db.GetMany(bg, [][]byte{[]byte("b"), []byte("none"), []byte("a"), []byte("a")})
	must(t, err)
	if len(v) != 4 || v[0] == nil || len(v[0]) != 0 || v[1] != nil || string(v[2]) != "1" || string(v[3]) != "1" {
		t.Errorf("got %q", v)
	}
	v, err = db.GetMany(bg, nil)
	if err != nil || len(v) != 0 {
		t.Errorf("no keys: %q, %v", v, err)
	}
}

func testBatch(t *testing.T, db *party.DB, _ way) {
	var b party.Batch
	must(t, db.Write(bg, &b)) // empty
	b.Put([]byte("a"), []byte("1"))
	b.Put([]byte("b"), []byte("2"))
	b.Delete([]byte("a"))
	b.Put([]byte("c"), nil)
	must(t, db.Write(bg, &b))
	if got, want := all(t, db, party.IteratorOptions{}), []string{"b=2", "c="}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	b.Reset()
	for i := range 5000 {
		b.Put(fmt.Appendf(nil, "k%04d", i), bytes.Repeat([]byte{'v'}, i%50))
	}
	must(t, db.Write(bg, &b))
	if n := len(all(t, db, party.IteratorOptions{})); n != 5002 {
		t.Errorf("%d entries, want 5002", n)
	}
}

func testBinaryKeys(t *testing.T, db *party.DB, _ way) {
	var want []string
	for _, k := range []string{"\x00", "\x00\x00", "\x00\xff", "a\x00b", "\x80", "\xfe\xff", "\xff", "\xff\xff"} {
		must(t, db.Put(bg, []byte(k), []byte("v"+k)))
		want = append(want, k+"=v"+k)
	}
	if got := all(t, db, party.IteratorOptions{}); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func testLargeValues(t *testing.T, db *party.DB, _ way) {
	for _, n := range []int{1 << 10, 64<<10 - 1, 64 << 10, 1 << 20, 8 << 20} {
		v := bytes.Repeat([]byte{byte(n), 1, 2, 3}, n/4+1)[:n]
		must(t, db.Put(bg, fmt.Appendf(nil, "v%08d", n), v))
		got, err := db.Get(bg, fmt.Appendf(nil, "v%08d", n))
		if err != nil || !bytes.Equal(got, v) {
			t.Fatalf("value of %d bytes: got %d, %v", n, len(got), err)
		}
	}
	n := 0
	for e, err := range party.All(bg, db, party.IteratorOptions{}) {
		must(t, err)
		n += len(e.Value)
	}
	if want := 1<<10 + 64<<10 - 1 + 64<<10 + 1<<20 + 8<<20; n != want {
		t.Errorf("%d bytes visited, want %d", n, want)
	}
	wantErr(t, "too large", db.Put(bg, []byte("k"), make([]byte, 64<<20)), party.ErrTooLarge)
}

func fill(t *testing.T, db *party.DB, n int) (keys []string) {
	t.Helper()
	var b party.Batch
	for i := range n {
		k := fmt.Sprintf("%04d", i)
		b.Put([]byte(k), []byte("v"+k))
		keys = append(keys, k)
	}
	must(t, db.Write(bg, &b))
	return keys
}

func testRanges(t *testing.T, db *party.DB, _ way) {
	fill(t, db, 100)
	k := func(s string) []byte { return []byte(s) }
	for _, c := range []struct {
		r           party.Range
		first, last int // of the keys visited; none if first > last
	}{
		{party.Range{}, 0, 99},
		{party.Range{GTE: k("0010")}, 10, 99},
		{party.Range{GT: k("0010")}, 11, 99},
		{party.Range{LTE: k("0010")}, 0, 10},
		{party.Range{LT: k("0010")}, 0, 9},
		{party.Range{GT: k("0010"), LT: k("0020")}, 11, 19},
		{party.Range{GTE: k("00105"), LTE: k("00205")}, 11, 20},
		{party.Range{GT: k("0010"), GTE: k("0005")}, 11, 99},
		{party.Range{GTE: k("0020"), LT: k("0010")}, 1, 0},
		{party.Range{GT: k("0099")}, 1, 0},
		{party.Range{LT: []byte{}}, 1, 0},
		{party.Range{GTE: []byte{}}, 0, 99},
		{party.Range{GT: []byte{}}, 0, 99},
	} {
		for _, limit := range []int{0, 1, 7, 200} {
			for _, reverse := range []bool{false, true} {
				var want []string
				for i := c.first; i <= c.last; i++ {
					want = append(want, fmt.Sprintf("%04d=v%04d", i, i))
				}
				if reverse {
					slices.Reverse(want)
				}
				if limit > 0 && len(want) > limit {
					want = want[:limit]
				}
				got := all(t, db, party.IteratorOptions{Range: c.r, Limit: limit, Reverse: reverse})
				if !slices.Equal(got, want) {
					t.Errorf("%q limit %d reverse %v: got %q, want %q", c.r, limit, reverse, got, want)
				}
			}
		}
	}
}

// testMoves walks at random and compares with a sorted list.
func testMoves(t *testing.T, db *party.DB, _ way) {
	keys := fill(t, db, 700)
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, reverse := range []bool{false, true} {
		lo, hi := 100, 600
		it := db.Iterator(bg, party.IteratorOptions{
			Range: party.Range{GTE: []byte(keys[lo]), LT: []byte(keys[hi])}, Reverse: reverse,
		})
		order := slices.Clone(keys[lo:hi])
		if reverse {
			slices.Reverse(order)
		}
		at := -1 // before the first; len(order): behind the last
		for range 1500 {
			var ok bool
			var what string
			switch rnd.IntN(12) {
			case 0:
				what, ok, at = "first", it.First(), 0
			case 1:
				what, ok, at = "last", it.Last(), len(order)-1
			case 2, 3:
				target := fmt.Sprintf("%04d", rnd.IntN(750))
				if rnd.IntN(2) == 0 {
					target += "5"
				}
				what, ok = "seek "+target, it.Seek([]byte(target))
				at = 0
				for at < len(order) && (!reverse && order[at] < target || reverse && order[at] > target) {
					at++
				}
			case 4, 5, 6, 7:
				what, ok = "next", it.Next()
				at = min(at+1, len(order))
			default:
				what, ok = "prev", it.Prev()
				at = max(at-1, -1)
			}
			want := ""
			if at >= 0 && at < len(order) {
				want = order[at]
			}
			if ok != (want != "") || string(it.Key()) != want || ok && string(it.Value()) != "v"+want {
				t.Fatalf("reverse %v: %s: %v at %q=%q, want %q; %v", reverse, what, ok, it.Key(), it.Value(), want, it.Err())
			}
		}
		must(t, it.Close())
		if it.Next() {
			t.Error("next after close")
		}
	}
}

func testRangeOverFunc(t *testing.T, db *party.DB, _ way) {
	keys := fill(t, db, 50)
	var got []string
	for k, err := range party.Keys(bg, db, party.IteratorOptions{Reverse: true}) {
		must(t, err)
		got = append(got, string(k))
	}
	slices.Reverse(got)
	if !slices.Equal(got, keys) {
		t.Errorf("keys: %q", got)
	}
	n := 0
	for v, err := range party.Values(bg, db, party.IteratorOptions{}) {
		must(t, err)
		if string(v) != "v"+keys[n] {
			t.Errorf("value %q", v)
		}
		if n++; n == 10 {
			break
		}
	}
}

func testClear(t *testing.T, db *party.DB, _ way) {
	keys := fill(t, db, 100)
	left := func() (k []string) {
		for _, e := range all(t, db, party.IteratorOptions{}) {
			k = append(k, e[:4])
		}
		return k
	}
	must(t, db.Clear(bg, party.ClearOptions{Range: party.Range{GTE: []byte("0090")}}))
	must(t, db.Clear(bg, party.ClearOptions{Limit: 10}))
	must(t, db.Clear(bg, party.ClearOptions{Limit: 5, Reverse: true}))
	must(t, db.Clear(bg, party.ClearOptions{Range: party.Range{GT: []byte("0020"), LTE: []byte("0030")}}))
	want := slices.Concat(keys[10:21], keys[31:85])
	if got := left(); !slices.Equal(got, want) {
		t.Errorf("left %q, want %q", got, want)
	}
	must(t, db.Clear(bg, party.ClearOptions{}))
	if got := left(); len(got) != 0 {
		t.Errorf("left %q, want nothing", got)
	}
}

func testSync(t *testing.T, db *party.DB, w way) {
	sync := party.WriteOptions{Sync: true}
	var b party.Batch
	b.Put([]byte("b"), nil)
	for what, err := range map[string]error{
		"put":    db.Put(bg, []byte("a"), nil, sync),
		"write":  db.Write(bg, &b, sync),
		"delete": db.Delete(bg, []byte("c"), sync),
		"clear":  db.Clear(bg, party.ClearOptions{Range: party.Range{GTE: []byte("d")}, WriteOptions: sync}),
	} {
		if w.npm {
			wantErr(t, "synced "+what, err, party.ErrNotSupported)
		} else if err != nil {
			t.Errorf("synced %s: %v", what, err)
		}
	}
	if n := len(all(t, db, party.IteratorOptions{})); w.npm != (n == 0) {
		t.Errorf("%d keys", n)
	}
}

func testSnapshot(t *testing.T, db *party.DB, w way) {
	keys := fill(t, db, 100)
	s, err := db.Snapshot(bg)
	if w.npm {
		wantErr(t, "snapshot", err, party.ErrNotSupported)
		return
	}
	must(t, err)
	must(t, db.Put(bg, []byte("0050"), []byte("later")))
	must(t, db.Clear(bg, party.ClearOptions{Range: party.Range{LT: []byte("0050")}}))
	if got := all(t, s, party.IteratorOptions{}); len(got) != len(keys) || got[50] != "0050=v0050" {
		t.Errorf("snapshot shows %q", got)
	}
	v, err := s.Get(bg, []byte("0007"))
	if err != nil || string(v) != "v0007" {
		t.Errorf("get: %q, %v", v, err)
	}
	ok, err := s.Has(bg, []byte("0107"))
	if err != nil || ok {
		t.Errorf("has: %v, %v", ok, err)
	}
	many, err := s.GetMany(bg, [][]byte{[]byte("0001"), []byte("none")})
	if err != nil || string(many[0]) != "v0001" || many[1] != nil {
		t.Errorf("get many: %q, %v", many, err)
	}
	must(t, s.Close())
	must(t, s.Close())
	_, err = s.Get(bg, []byte("0007"))
	wantErr(t, "get after close", err, party.ErrClosed)
	it := s.Iterator(bg, party.IteratorOptions{})
	if it.Next() {
		t.Error("iterator of a closed snapshot moves")
	}
	wantErr(t, "iterator after close", it.Err(), party.ErrClosed)
}

func testAdmin(t *testing.T, db *party.DB, w way) {
	fill(t, db, 1000)
	err := db.CompactRange(bg, party.Range{})
	if w.npm {
		wantErr(t, "compact", err, party.ErrNotSupported)
		_, err = db.ApproximateSize(bg, party.Range{})
		wantErr(t, "size", err, party.ErrNotSupported)
		_, err = db.Property(bg, "leveldb.stats")
		wantErr(t, "property", err, party.ErrNotSupported)
	} else {
		must(t, err)
		n, err := db.ApproximateSize(bg, party.Range{})
		if err != nil || n == 0 {
			t.Errorf("size %d, %v", n, err)
		}
		v, err := db.Property(bg, "leveldb.stats")
		if err != nil || v == "" {
			t.Errorf("property: %q, %v", v, err)
		}
		_, err = db.Property(bg, "leveldb.nonsense")
		wantErr(t, "unknown property", err, party.ErrNotFound)
	}
	st, err := db.Status(bg)
	must(t, err)
	if st.Leader.PID == 0 || st.Bytes == 0 || st.Path != db.Path() || st.Role != db.Role() {
		t.Errorf("status: %+v", st)
	}
}

func testExclusive(t *testing.T, db *party.DB, w way) {
	x, err := db.Begin(bg)
	if w.npm {
		wantErr(t, "begin", err, party.ErrNotSupported)
		return
	}
	must(t, err)
	other := make(chan error, 1)
	go func() { other <- db.Put(bg, []byte("k"), []byte("other")) }()
	if _, err := db.Get(bg, []byte("k")); !errors.Is(err, party.ErrNotFound) {
		t.Errorf("get beside an exclusive: %v", err)
	}
	var b party.Batch
	b.Put([]byte("k"), []byte("mine"))
	b.Put([]byte("l"), []byte("mine"))
	select {
	case err := <-other:
		t.Errorf("the other write did not wait: %v", err)
	default:
	}
	must(t, x.Commit(bg, &b))
	must(t, <-other)
	if got, want := all(t, db, party.IteratorOptions{}), []string{"k=other", "l=mine"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	wantErr(t, "second commit", x.Commit(bg, &b), party.ErrClosed)
	if x, err = db.Begin(bg); err == nil {
		x.Discard()
	}
	must(t, err)
	must(t, db.Put(bg, []byte("k"), nil))
}

func testConcurrent(t *testing.T, db *party.DB, _ way) {
	var wg sync.WaitGroup
	for g := range 32 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 50 {
				k := fmt.Appendf(nil, "%d/%d", g, i)
				if err := db.Put(bg, k, k); err != nil {
					t.Error(err)
					return
				}
				if v, err := db.Get(bg, k); err != nil || !bytes.Equal(v, k) {
					t.Errorf("own write %s: %q, %v", k, v, err)
				}
			}
		}()
	}
	wg.Wait()
	if n := len(all(t, db, party.IteratorOptions{})); n != 32*50 {
		t.Errorf("%d entries, want %d", n, 32*50)
	}
}

func testCanceled(t *testing.T, db *party.DB, _ way) {
	ctx, cancel := context.WithCancel(bg)
	cancel()
	_, err := db.Get(ctx, []byte("k"))
	wantErr(t, "get", err, context.Canceled)
	wantErr(t, "put", db.Put(ctx, []byte("k"), nil), context.Canceled)
	wantErr(t, "clear", db.Clear(ctx, party.ClearOptions{}), context.Canceled)
	it := db.Iterator(ctx, party.IteratorOptions{})
	if it.Next() {
		t.Error("iterator moves")
	}
	wantErr(t, "iterator", it.Err(), context.Canceled)
	it.Close()
	must(t, db.Put(bg, []byte("k"), nil)) // the handle is unharmed
}

func testClosed(t *testing.T, db *party.DB, _ way) {
	must(t, db.Put(bg, []byte("k"), nil))
	it := db.Iterator(bg, party.IteratorOptions{})
	it.Next()
	must(t, db.Close())
	must(t, db.Close())
	if db.Role() != party.Closed {
		t.Errorf("role %v, want closed", db.Role())
	}
	_, err := db.Get(bg, []byte("k"))
	wantErr(t, "get", err, party.ErrClosed)
	wantErr(t, "put", db.Put(bg, []byte("k"), nil), party.ErrClosed)
	wantErr(t, "clear", db.Clear(bg, party.ClearOptions{}), party.ErrClosed)
	_, err = db.Snapshot(bg)
	wantErr(t, "snapshot", err, party.ErrClosed)
	_, err = db.Status(bg)
	wantErr(t, "status", err, party.ErrClosed)
	for it.Next() {
	}
	wantErr(t, "iterator", it.Err(), party.ErrClosed)
	it.Close()
}

// testModel compares random writes with a plain map.
func testModel(t *testing.T, db *party.DB, _ way) {
	rnd := rand.New(rand.NewPCG(3, 4))
	model := make(map[string]string)
	key := func() string { return fmt.Sprintf("%02d", rnd.IntN(60)) }
	for i := range 600 {
		switch k := key(); rnd.IntN(10) {
		case 0, 1, 2:
			v := fmt.Sprint(i)
			must(t, db.Put(bg, []byte(k), []byte(v)))
			model[k] = v
		case 3:
			must(t, db.Delete(bg, []byte(k)))
			delete(model, k)
		case 4:
			var b party.Batch
			for range rnd.IntN(10) {
				if k := key(); rnd.IntN(3) == 0 {
					b.Delete([]byte(k))
					delete(model, k)
				} else {
					b.Put([]byte(k), []byte("b"+k))
					model[k] = "b" + k
				}
			}
			must(t, db.Write(bg, &b))
		case 5:
			if rnd.IntN(5) > 0 {
				break
			}
			lo, hi := key(), key()
			must(t, db.Clear(bg, party.ClearOptions{Range: party.Range{GTE: []byte(lo), LT: []byte(hi)}}))
			maps.DeleteFunc(model, func(k, _ string) bool { return k >= lo && k < hi })
		default:
			v, err := db.Get(bg, []byte(k))
			want, ok := model[k]
			if ok != (err == nil) || string(v) != want {
				t.Fatalf("step %d: get %s: %q, %v; want %q", i, k, v, err, want)
			}
		}
		if i%100 == 99 {
			var want []string
			for _, k := range slices.Sorted(maps.Keys(model)) {
				want = append(want, k+"="+model[k])
			}
			if got := all(t, db, party.IteratorOptions{}); !slices.Equal(got, want) {
				t.Fatalf("step %d: got %q, want %q", i, got, want)
			}
		}
	}
}
