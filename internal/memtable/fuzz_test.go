package memtable

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/partytest"
	"github.com/levelparty/party/internal/store"
)

// FuzzAttach: whatever the bytes of an arena, nothing panics, hangs or goes out
// of bounds, in any method. Damage behind a header that is right is the
// harder part, so each arena is tried with one, too.
func FuzzAttach(f *testing.F) {
	for _, size := range []int{0, 100, HeaderLen, 150, 1000, 4096} {
		f.Add(make([]byte, size), []byte("key"), uint64(1))
	}
	f.Add(sampleArena(f), []byte("k3"), uint64(1<<8))
	f.Add(sampleArena(f), []byte(longKey+"3"), uint64(1<<8))
	f.Fuzz(func(t *testing.T, data, user []byte, trailer uint64) {
		if len(data) > 1<<14 {
			return
		}
		arena := append(make([]byte, 0, len(data)+8), data...)
		if table, err := Attach(arena, 7); err == nil {
			useAll(t, table, user, trailer)
		}
		if len(arena) < HeaderLen {
			return
		}
		copy(arena, data)
		binary.NativeEndian.PutUint64(arena[offMagic:], magic)
		binary.NativeEndian.PutUint32(arena[offVersion:], layoutVersion)
		binary.NativeEndian.PutUint32(arena[offSize:], uint32(len(arena)))
		binary.NativeEndian.PutUint64(arena[offLog:], 7)
		if table, err := Attach(arena, 7); err == nil {
			useAll(t, table, user, trailer)
		}
	})
}

const longKey = "a key that is longer than a word or two or three "

// sampleArena returns an arena with some entries, half of whose keys have much
// in common.
func sampleArena(t testing.TB) []byte {
	table := mustFormat(t, 1600)
	for i := range 12 {
		for _, begin := range []string{"k", longKey} {
			key := append([]byte(begin), byte('0'+i*7%12))
			if err := table.Insert(key, uint64(i)<<8|1, []byte("value")); err != nil {
				t.Fatal(err)
			}
		}
	}
	return table.arena
}

// sampleKey returns a key of sampleArena.
func sampleKey(rng *rand.Rand) []byte {
	return append([]byte([]string{"k", longKey}[rng.IntN(2)]), byte('0'+rng.IntN(12)))
}

// useAll calls every method. What they return does not matter, as long as a
// walk ends after as many steps as entries could be in the arena.
func useAll(t *testing.T, table *Table, user []byte, trailer uint64) {
	bound := func(n *int) {
		if *n++; *n > table.nodes+1 {
			t.Fatalf("%d steps in an arena of at most %d entries", *n, table.nodes)
		}
	}
	read := func() {
		_ = table.Check()
		_, _ = table.Len(), table.Room()
		_, _, _, _ = table.Get(user, format.SeqNum(trailer>>8))
		_, _, _, _ = table.Get(nil, format.MaxSeqNum)
		it := table.NewIter()
		steps := 0
		for ok := it.First(); ok; ok = it.Next() {
			bound(&steps)
			_, _ = it.Key(), it.Value()
		}
		steps = 0
		for ok := it.Last(); ok; ok = it.Prev() {
			bound(&steps)
			_, _ = it.Key(), it.Value()
		}
		steps = 0
		for ok := it.SeekGE(ikey(user, trailer)); ok; ok = it.Next() {
			bound(&steps)
		}
		if it.SeekGE(ikey(user, trailer)) {
			for i := range 100 {
				if i%3 == 0 && !it.Next() || i%3 != 0 && !it.Prev() {
					break
				}
			}
		}
	}
	read()
	for i := range 5 {
		_ = table.Insert(user, trailer+uint64(i), user)
		_ = table.Insert([]byte("other"), uint64(i), nil)
	}
	read()
}

// TestDamaged spoils words of a table that was good, which gets further than
// bytes that a fuzzer thinks of, and truncates and zeroes it.
func TestDamaged(t *testing.T) {
	rng := partytest.Random(t)
	good := sampleArena(t)
	try := func(arena []byte) {
		if table, err := Attach(arena, 7); err == nil {
			useAll(t, table, sampleKey(rng), rng.Uint64N(20)<<8|1)
		}
	}
	for range 20_000 {
		arena := bytes.Clone(good)
		for range 1 + rng.IntN(4) {
			off := offTail + 4*rng.IntN((len(arena)-offTail)/4)
			var word uint32
			switch rng.IntN(4) {
			case 0:
				word = rng.Uint32()
			case 1:
				word = uint32(rng.IntN(len(arena) + 8)) // somewhere
			case 2:
				word = binary.NativeEndian.Uint32(arena[4*rng.IntN(len(arena)/4):]) // perhaps a node
			default:
				word = uint32(len(arena)) - rng.Uint32N(64)
			}
			binary.NativeEndian.PutUint32(arena[off:], word)
		}
		try(arena)
	}
	for cut := HeaderLen; cut <= len(good); cut += 4 {
		arena := bytes.Clone(good[:cut])
		binary.NativeEndian.PutUint32(arena[offSize:], uint32(cut))
		end := min(uint32(cut), binary.NativeEndian.Uint32(arena[offTail:]))
		binary.NativeEndian.PutUint32(arena[offTail:], end)
		try(arena)
		arena = bytes.Clone(good)
		clear(arena[cut:])
		try(arena)
	}
}

// TestCycle walks a level 0 that leads back to where it came from, both ways.
func TestCycle(t *testing.T) {
	table := mustFormat(t, 1000)
	for _, key := range []string{"a", "b"} {
		if err := table.Insert([]byte(key), 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	it := table.NewIter()
	it.First()
	a := it.n
	it.Next()
	b := it.n
	for _, link := range [][2]uint32{{b, a}, {b + nodePrev, a}, {a + nodePrev, b}} {
		store32(table.arena, link[0], link[1])
	}
	for name, move := range map[string]func() bool{"Next": it.Next, "Prev": it.Prev} {
		steps := 0
		for ok := it.First(); ok && steps <= 1000; ok = move() {
			steps++
		}
		if !errors.Is(it.Err(), store.ErrCorrupted) {
			t.Errorf("%s: %d steps, %v, want store.ErrCorrupted", name, steps, it.Err())
		}
	}
	if _, _, _, err := table.Get([]byte("c"), 1); !errors.Is(err, store.ErrCorrupted) {
		t.Errorf("Get: %v, want store.ErrCorrupted", err)
	}
	if err := table.Check(); !errors.Is(err, store.ErrCorrupted) {
		t.Errorf("Check: %v, want store.ErrCorrupted", err)
	}
}

func TestWithin(t *testing.T) {
	table := mustFormat(t, 1000)
	for n, want := range map[uint32]bool{
		0: false, head: false, HeaderLen - 4: false, HeaderLen: true, HeaderLen + 2: false,
		1000 - minNode: true, 1000 - minNode + 4: false, 1000: false, 1<<32 - 4: false,
	} {
		if got := table.within(n); got != want {
			t.Errorf("within(%d) = %t, want %t", n, got, want)
		}
	}
}

// TestScribbled reads and inserts while somebody writes anything anywhere: what
// was checked is used as it was checked.
func TestScribbled(t *testing.T) {
	if raceEnabled {
		t.Skip("a data race by intent")
	}
	good := sampleArena(t)
	arena := bytes.Clone(good)
	table, err := Attach(arena, 7)
	if err != nil {
		t.Fatal(err)
	}
	rng := partytest.Random(t)
	other := rand.New(rand.NewPCG(1, rng.Uint64()))
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			off := offTail + 4*uint32(other.IntN((len(arena)-offTail)/4))
			if other.IntN(2) == 0 {
				store32(arena, off, binary.NativeEndian.Uint32(good[off:]))
			} else {
				store32(arena, off, other.Uint32N(1700))
			}
		}
	}()
	for range 20_000 {
		useAll(t, table, sampleKey(rng), rng.Uint64N(20)<<8|1)
	}
	close(stop)
	<-done
}
