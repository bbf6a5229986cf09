package memtable

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/partytest"
	"github.com/levelparty/party/internal/store"
)

func mustFormat(t testing.TB, size int64) *Table {
	t.Helper()
	table, err := Format(make([]byte, size), 7)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// model is the plain thing: entries by internal key, sorted when it is asked.
type model map[string]string

func (m model) put(user []byte, trailer uint64, value []byte) {
	m[string(ikey(user, trailer))] = string(value)
}

func (m model) sorted() (keys [][]byte) {
	for k := range m {
		keys = append(keys, []byte(k))
	}
	slices.SortFunc(keys, format.CompareInternal)
	return keys
}

func ikey(user []byte, trailer uint64) []byte {
	return binary.LittleEndian.AppendUint64(bytes.Clone(user), trailer)
}

// checkSame compares table and model in every way there is to read.
func checkSame(t *testing.T, table *Table, m model) {
	t.Helper()
	if err := table.Check(); err != nil {
		t.Fatal(err)
	}
	keys := m.sorted()
	if table.Len() != len(keys) {
		t.Fatalf("Len %d, want %d", table.Len(), len(keys))
	}
	var it Iter
	it.Reset(table)
	at := func(i int) {
		t.Helper()
		if it.Err() != nil {
			t.Fatal(it.Err())
		}
		if i < 0 || i >= len(keys) {
			if it.Valid() {
				t.Fatalf("at %q, want the end", it.Key())
			}
			return
		}
		if !it.Valid() {
			t.Fatalf("not valid, want %q", keys[i])
		}
		if !bytes.Equal(it.Key(), keys[i]) || string(it.Value()) != m[string(keys[i])] {
			t.Fatalf("at %q: %q, want %q: %q", it.Key(), it.Value(), keys[i], m[string(keys[i])])
		}
	}
	it.First()
	for i := range keys {
		at(i)
		it.Next()
	}
	at(-1)
	it.Last()
	for i := range keys {
		at(len(keys) - 1 - i)
		it.Prev()
	}
	at(-1)
	for i, k := range keys {
		it.SeekGE(k)
		at(i)
		user, seq := format.UserKey(k), format.KeySeq(k)
		value, trailer, ok, err := table.Get(user, seq)
		if err != nil || !ok {
			t.Fatalf("Get(%q, %d): %t, %v", user, seq, ok, err)
		}
		// Of two kinds with one sequence number the put comes first.
		if want, _ := slices.BinarySearchFunc(keys, ikey(user, format.Trailer(seq, format.KindPut)), format.CompareInternal); trailer != format.KeyTrailer(keys[want]) || string(value) != m[string(keys[want])] {
			t.Fatalf("Get(%q, %d): %q, %x", user, seq, value, trailer)
		}
	}
}

func TestModel(t *testing.T) {
	rng := partytest.Random(t)
	for range 30 {
		table := mustFormat(t, HeaderLen+rng.Int64N(40_000))
		m := make(model)
		begin := bytes.Repeat([]byte{'p'}, rng.IntN(20)) // what keys have in common
		randomKey := func() []byte {
			key := bytes.Clone(begin)
			for range rng.IntN(12) {
				key = append(key, "\x00\x01a\xff"[rng.IntN(4)])
			}
			return key
		}
		for seq := format.SeqNum(1); ; seq++ {
			user, value := randomKey(), bytes.Repeat([]byte{byte(seq)}, rng.IntN(50))
			trailer := format.Trailer(seq, format.Kind(rng.IntN(2)))
			room := table.Room()
			err := table.Insert(user, trailer, value)
			if errors.Is(err, ErrFull) {
				if need := Need(len(user), len(value)); room >= need {
					t.Fatalf("full with room for %d, need %d", room, need)
				}
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if took := room - table.Room(); took > Need(len(user), len(value)) {
				t.Fatalf("took %d, Need says %d", took, Need(len(user), len(value)))
			}
			m.put(user, trailer, value)
			if rng.IntN(10) == 0 { // again: nothing happens
				room := table.Room()
				if err := table.Insert(user, trailer, []byte("other")); err != nil || table.Room() != room {
					t.Fatalf("again: %v, room %d, was %d", err, table.Room(), room)
				}
			}
		}
		checkSame(t, table, m)
		keys := m.sorted()
		it := table.NewIter()
		for range 300 { // what is not there
			user, seq := randomKey(), format.SeqNum(rng.IntN(len(m)+1))
			seek := ikey(user, format.Trailer(seq, format.KindPut))
			i, _ := slices.BinarySearchFunc(keys, seek, format.CompareInternal)
			if it.SeekGE(seek) != (i < len(keys)) || it.Valid() && !bytes.Equal(it.Key(), keys[i]) {
				t.Fatalf("SeekGE(%q): valid %t", seek, it.Valid())
			}
			found := i < len(keys) && bytes.Equal(format.UserKey(keys[i]), user)
			value, trailer, ok, err := table.Get(user, seq)
			if err != nil || ok != found || ok && (trailer != format.KeyTrailer(keys[i]) || string(value) != m[string(keys[i])]) {
				t.Fatalf("Get(%q, %d): %q, %x, %t, %v", user, seq, value, trailer, ok, err)
			}
			// A walk to and fro.
			for range rng.IntN(6) {
				if i >= len(keys) || i < 0 {
					break
				}
				if rng.IntN(2) == 0 {
					i++
					it.Next()
				} else {
					i--
					it.Prev()
				}
				if it.Valid() != (i >= 0 && i < len(keys)) || it.Valid() && !bytes.Equal(it.Key(), keys[i]) {
					t.Fatalf("walk from %q: valid %t, want entry %d", seek, it.Valid(), i)
				}
			}
		}
	}
}

// TestOrders inserts in the orders that the hint of Insert is for, and against it.
func TestOrders(t *testing.T) {
	const n = 2000
	orders := map[string]func(i int) int{
		"ascending":  func(i int) int { return i },
		"descending": func(i int) int { return n - i },
		"runs":       func(i int) int { return i%10*1000 + i/10 },
		"zigzag":     func(i int) int { return (1 - 2*(i%2)) * i },
	}
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			table, m := mustFormat(t, Size(n, 20*n, 0)), make(model)
			for i := range n {
				key := fmt.Appendf(nil, "key%08d", n+order(i))
				trailer := format.Trailer(format.SeqNum(i), format.KindPut)
				if err := table.Insert(key, trailer, nil); err != nil {
					t.Fatal(err)
				}
				m.put(key, trailer, nil)
			}
			checkSame(t, table, m)
		})
	}
}

// TestTwoInserters: tables of one arena, as of two processes, insert in turn.
// What either remembers of its last insert does not lead it astray.
func TestTwoInserters(t *testing.T) {
	rng := partytest.Random(t)
	a := mustFormat(t, 1<<20)
	b, err := Attach(a.arena, 7)
	if err != nil {
		t.Fatal(err)
	}
	m := make(model)
	next := [2]int{}
	for seq := range format.SeqNum(4000) {
		table, i := a, 0
		if rng.IntN(3) == 0 {
			table, i = b, 1
		}
		// Each ascends, mostly, over the same keys.
		if next[i] += rng.IntN(20); rng.IntN(50) == 0 {
			next[i] = rng.IntN(20_000)
		}
		key := fmt.Appendf(nil, "%08d", next[i])
		trailer := format.Trailer(seq, format.KindPut)
		if err := table.Insert(key, trailer, key); err != nil {
			t.Fatal(err)
		}
		m.put(key, trailer, key)
	}
	checkSame(t, a, m)
	checkSame(t, b, m)
}

func TestSizeHolds(t *testing.T) {
	for _, c := range []struct{ entries, key, value int }{{0, 0, 0}, {1, 0, 0}, {1, 1, 1}, {100, 5, 6}, {3, 1000, 100_000}} {
		table := mustFormat(t, Size(c.entries, int64(c.entries*c.key), int64(c.entries*c.value)))
		for i := range c.entries {
			table.random = 1 << 63 // gives the highest tower
			if err := table.Insert(make([]byte, c.key), uint64(i), make([]byte, c.value)); err != nil {
				t.Errorf("%+v, entry %d: %v", c, i, err)
			}
		}
		one, err := Format(make([]byte, HeaderLen+Need(c.key, c.value)), 1)
		if err != nil {
			t.Fatal(err)
		}
		one.random = 1 << 63
		if err := one.Insert(make([]byte, c.key), 0, make([]byte, c.value)); err != nil {
			t.Errorf("%+v in what it needs: %v", c, err)
		}
	}
}

func TestAttachRefuses(t *testing.T) {
	arena := mustFormat(t, 4096).arena
	if _, err := Attach(arena, 7); err != nil {
		t.Fatal(err)
	}
	spoil := func(off int) []byte {
		b := bytes.Clone(arena)
		b[off] ^= 0xff
		return b
	}
	for name, b := range map[string][]byte{
		"empty": nil, "zeroed": make([]byte, 4096), "truncated": arena[:2048], "header cut": arena[:100],
		"longer": append(bytes.Clone(arena), make([]byte, 8)...), "magic": spoil(offMagic), "version": spoil(offVersion),
		"size": spoil(offSize), "log": spoil(offLog), "end": spoil(offTail + 2),
	} {
		if _, err := Attach(b, 7); !errors.Is(err, store.ErrCorrupted) {
			t.Errorf("%s: %v, want store.ErrCorrupted", name, err)
		}
	}
	if _, err := Attach(arena, 8); !errors.Is(err, store.ErrCorrupted) {
		t.Errorf("other log: %v, want store.ErrCorrupted", err)
	}
	for _, b := range [][]byte{nil, make([]byte, HeaderLen-1), make([]byte, 4096)[1:]} {
		if _, err := Format(b, 1); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("Format of %d bytes: %v, want store.ErrInvalid", len(b), err)
		}
	}
	if tiny, err := Format(make([]byte, HeaderLen), 1); err != nil {
		t.Error(err)
	} else if err := tiny.Insert(nil, 0, nil); err != ErrFull {
		t.Errorf("Insert into nothing: %v, want ErrFull", err)
	}
}

// TestCut cuts inserts before every store and checks that
//
//   - readers see the entry whole or not at all, and all others;
//   - the levels are ordered subsets of those below;
//   - who inserts the entry again, and then others, has all of them, with
//     complete towers, and loses no room.
func TestCut(t *testing.T) {
	rng := partytest.Random(t)
	base, m := mustFormat(t, 8192), make(model)
	// What free space holds means nothing.
	for i := HeaderLen; i < len(base.arena); i++ {
		base.arena[i] = byte(rng.Uint32())
	}
	for seq := range format.SeqNum(60) {
		key := fmt.Appendf(nil, "%03d", rng.IntN(50))
		trailer := format.Trailer(2*seq, format.KindPut)
		if err := base.Insert(key, trailer, key); err != nil {
			t.Fatal(err)
		}
		m.put(key, trailer, key)
		key = fmt.Appendf(nil, "%03d", rng.IntN(50))
		trailer = format.Trailer(2*seq+1, format.KindPut)
		checkCuts(t, base, m, key, trailer, 3)
	}
}

// checkCuts cuts the insert of one entry everywhere, and the one that rolls it
// forward, so many deaths deep.
func checkCuts(t *testing.T, base *Table, m model, key []byte, trailer uint64, deaths int) {
	whole := make(model)
	for k, v := range m {
		whole[k] = v
	}
	whole.put(key, trailer, key)

	attach := func(arena []byte) *Table {
		table, err := Attach(bytes.Clone(arena), 7)
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	var cuts [][]byte
	table := attach(base.arena)
	if trailer>>8%4 == 1 {
		table.random = 1 << 63 // gives the highest tower
	}
	table.step = func() { cuts = append(cuts, bytes.Clone(table.arena)) }
	if err := table.Insert(key, trailer, key); err != nil {
		t.Fatal(err)
	}
	table.step = nil
	room := table.Room()
	checkSame(t, table, whole)
	checkTowers(t, table)

	for i, arena := range cuts {
		cut := attach(arena)
		if err := cut.Check(); err != nil {
			t.Fatalf("cut %d: %v", i, err)
		}
		linked := 0
		it := cut.NewIter()
		for ok := it.First(); ok; ok = it.Next() {
			want, known := whole[string(it.Key())]
			if !known || want != string(it.Value()) {
				t.Fatalf("cut %d: reader at %q: %q", i, it.Key(), it.Value())
			}
			linked++
		}
		if it.Err() != nil || linked < len(m) {
			t.Fatalf("cut %d: %d of %d entries, %v", i, linked, len(m), it.Err())
		}
		back := 0
		for ok := it.Last(); ok; ok = it.Prev() {
			back++
		}
		if it.Err() != nil || back != linked {
			t.Fatalf("cut %d: %d entries backward, %d forward, %v", i, back, linked, it.Err())
		}
		if deaths > 1 && linked < len(whole) {
			checkCutsAgain(t, cut, m, key, trailer, deaths-1)
		}
		// Rolled forward: the same again.
		forward := attach(arena)
		if err := forward.Insert(key, trailer, key); err != nil {
			t.Fatalf("cut %d: %v", i, err)
		}
		checkSame(t, forward, whole)
		checkTowers(t, forward)
		if lost := room - forward.Room(); lost > 4*(maxHeight-1) { // another tower
			t.Fatalf("cut %d: lost %d bytes", i, lost)
		}
		// Forgotten: another entry comes first.
		other := attach(arena)
		if err := other.Insert([]byte("0251"), 1, nil); err != nil {
			t.Fatalf("cut %d: %v", i, err)
		}
		if err := other.Check(); err != nil {
			t.Fatalf("cut %d: %v", i, err)
		}
		if err := other.Insert(key, trailer, key); err != nil {
			t.Fatalf("cut %d: %v", i, err)
		}
		with := make(model)
		for k, v := range whole {
			with[k] = v
		}
		with.put([]byte("0251"), 1, nil)
		checkSame(t, other, with)
		checkTowers(t, other)
	}
}

// checkCutsAgain goes on from a cut table, but not at every step of every step.
func checkCutsAgain(t *testing.T, cut *Table, m model, key []byte, trailer uint64, deaths int) {
	if trailer>>8%8 == 1 {
		checkCuts(t, cut, m, key, trailer, deaths)
	}
}

// checkTowers tells whether every entry is in all levels it was made for, and
// prev is exact.
func checkTowers(t *testing.T, table *Table) {
	t.Helper()
	var at [maxHeight]uint32
	for level := range at {
		at[level] = load32(table.arena, nextOf(head, level))
	}
	for before := uint32(head); at[0] != 0; {
		n := at[0]
		if prev := load32(table.arena, n+nodePrev); prev != before {
			t.Fatalf("prev of entry at %d is %d, want %d", n, prev, before)
		}
		before = n
		for level := range nodeHeight(table.arena, n) {
			if at[level] != n {
				t.Fatalf("entry at %d of height %d is not in level %d", n, nodeHeight(table.arena, n), level)
			}
			at[level] = load32(table.arena, nextOf(n, level))
		}
	}
}

// TestConcurrentReaders: a reader that loads the published sequence s sees of
// the entries <= s exactly all, by iterating in both directions, by seeking and by Get,
// while the inserter goes on. Entries > s may show, but are whole. The entry
// of sequence s is known from s alone.
func TestConcurrentReaders(t *testing.T) {
	const keys = 97
	entries := 20_000
	if testing.Short() {
		entries = 4000
	}
	entry := func(s format.SeqNum) (user []byte, trailer uint64, value []byte) {
		user = fmt.Appendf(nil, "key%03d", uint64(s)*0x9e3779b97f4a7c15>>32%keys)
		return user, format.Trailer(s, format.KindPut), fmt.Appendf(nil, "value of %d", s)
	}
	table := mustFormat(t, Size(entries, int64(6*entries), int64(20*entries)))
	var published atomic.Uint64
	var wg sync.WaitGroup
	for r := range 3 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(r), 1))
			view, err := Attach(table.arena, 7)
			if err != nil {
				t.Error(err)
				return
			}
			it := view.NewIter()
			for last := uint64(0); last < uint64(entries); {
				s := published.Load()
				last = s
				move, ok := it.Next, false
				if rng.IntN(2) == 0 {
					ok = it.First()
				} else {
					move, ok = it.Prev, it.Last()
				}
				seen := uint64(0)
				for ; ok; ok = move() {
					seq := format.KeySeq(it.Key())
					user, trailer, value := entry(seq)
					if !bytes.Equal(it.Key(), ikey(user, trailer)) || !bytes.Equal(it.Value(), value) {
						t.Errorf("entry %q: %q", it.Key(), it.Value())
						return
					}
					if uint64(seq) <= s {
						seen++
					}
				}
				if it.Err() != nil || seen != s {
					t.Errorf("at %d: saw %d entries, %v", s, seen, it.Err())
					return
				}
				if s == 0 {
					continue
				}
				for range 50 {
					// The newest of the key of a random entry is that entry or a later one.
					of := format.SeqNum(1 + rng.Uint64N(s))
					user, trailer, value := entry(of)
					got, newest, ok, err := view.Get(user, of)
					if err != nil || !ok || newest != trailer || !bytes.Equal(got, value) {
						t.Errorf("Get(%q, %d): %q, %x, %t, %v", user, of, got, newest, ok, err)
						return
					}
					_, newest, ok, err = view.Get(user, format.SeqNum(s))
					if err != nil || !ok || newest < trailer || newest>>8 > s {
						t.Errorf("Get(%q, %d): %x, %t, %v", user, s, newest, ok, err)
						return
					}
					if !it.SeekGE(ikey(user, trailer)) || !bytes.Equal(it.Key(), ikey(user, trailer)) {
						t.Errorf("SeekGE(%q): not there", user)
						return
					}
				}
			}
		})
	}
	for s := 1; s <= entries; s++ {
		user, trailer, value := entry(format.SeqNum(s))
		if err := table.Insert(user, trailer, value); err != nil {
			t.Error(err)
		}
		published.Store(uint64(s))
	}
	wg.Wait()
	if err := table.Check(); err != nil {
		t.Fatal(err)
	}
}

func TestIteratorGoesOn(t *testing.T) {
	table := mustFormat(t, 1<<16)
	insert := func(key string) {
		t.Helper()
		if err := table.Insert([]byte(key), 1, []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	insert("b")
	insert("z")
	it := table.NewIter()
	it.SeekGE(ikey([]byte("b"), 1))
	insert("a")
	insert("c")
	for i := range 100 { // more than prev is followed for
		insert(fmt.Sprintf("d%02d", i))
	}
	if !it.Next() || string(it.Value()) != "c" {
		t.Errorf("next is %q, want c", it.Value())
	}
	it.SeekGE(ikey([]byte("z"), 1))
	store32(table.arena, it.n+nodePrev, head) // as a reader that waited long may find it
	if !it.Prev() || string(it.Value()) != "d99" {
		t.Errorf("prev is %q, want d99", it.Value())
	}
	if err := table.Check(); err != nil {
		t.Error(err)
	}
}

func TestNoAllocations(t *testing.T) {
	table := mustFormat(t, 1<<20)
	key, seek := []byte("0123456789abcdef"), ikey([]byte("0123456789abcdef"), 0)
	var it Iter
	seq := uint64(0)
	if n := testing.AllocsPerRun(1000, func() {
		seq++
		_ = table.Insert(key, seq, key)
		_, _, _, _ = table.Get(key, 1)
		it.Reset(table)
		it.SeekGE(seek)
		it.First()
		it.Next()
		it.Last()
		it.Prev()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
