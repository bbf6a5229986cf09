package memtable

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/levelparty/party/internal/format"
)

const benchEntries = 30_000

// benchKeys returns the keys of LevelDB's workloads, 16 digits, or 16 random
// bytes, and the order to insert them in.
func benchKeys(digits bool) (keys [][]byte, order []int) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range benchEntries {
		key := fmt.Appendf(nil, "%016d", i)
		if !digits {
			binary.LittleEndian.PutUint64(key, rng.Uint64())
			binary.LittleEndian.PutUint64(key[8:], rng.Uint64())
		}
		keys = append(keys, key)
	}
	return keys, rng.Perm(benchEntries)
}

func benchArena() []byte {
	return make([]byte, Size(benchEntries, 16*benchEntries, 100*benchEntries))
}

func benchTable(b *testing.B, digits bool) (*Table, [][]byte) {
	keys, order := benchKeys(digits)
	t, err := Format(benchArena(), 1)
	if err != nil {
		b.Fatal(err)
	}
	value := make([]byte, 100)
	for seq, i := range order {
		if err := t.Insert(keys[i], format.Trailer(format.SeqNum(seq+1), format.KindPut), value); err != nil {
			b.Fatal(err)
		}
	}
	return t, keys
}

// lookups returns the keys in an order to look them up in, one behind the other
// in memory: the key somebody asks for is at hand.
func lookups(keys [][]byte) [][]byte {
	var all []byte
	order := rand.New(rand.NewPCG(3, 4)).Perm(len(keys))
	for _, i := range order {
		all = append(all, keys[i]...)
	}
	for i := range order {
		n := len(keys[0])
		keys[i] = all[i*n : (i+1)*n : (i+1)*n]
	}
	return keys
}

func forKeys(b *testing.B, f func(b *testing.B, digits bool)) {
	b.Run("keys=digits", func(b *testing.B) { f(b, true) })
	b.Run("keys=bytes", func(b *testing.B) { f(b, false) })
}

func BenchmarkInsertRandom(b *testing.B) {
	forKeys(b, func(b *testing.B, digits bool) {
		keys, _ := benchKeys(digits)
		keys = lookups(keys)
		benchInsert(b, func(i int) []byte { return keys[i] })
	})
}

func BenchmarkInsertAscending(b *testing.B) {
	keys, _ := benchKeys(true)
	benchInsert(b, func(i int) []byte { return keys[i] })
}

func benchInsert(b *testing.B, key func(int) []byte) {
	arena, value := benchArena(), make([]byte, 100)
	clear(arena) // so that no page is touched for the first time
	b.ReportAllocs()
	var t *Table
	for n := 0; b.Loop(); n++ {
		i := n % benchEntries
		if i == 0 {
			t, _ = Format(arena, 1)
		}
		if err := t.Insert(key(i), format.Trailer(format.SeqNum(i+1), format.KindPut), value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	forKeys(b, func(b *testing.B, digits bool) {
		t, keys := benchTable(b, digits)
		keys = lookups(keys)
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			if _, _, ok, _ := t.Get(keys[n%len(keys)], format.MaxSeqNum); !ok {
				b.Fatal("missing")
			}
		}
	})
}

func BenchmarkGetMissing(b *testing.B) {
	t, keys := benchTable(b, true)
	for i := range keys {
		keys[i] = append(keys[i], '5')
	}
	keys = lookups(keys)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if _, _, ok, _ := t.Get(keys[n%len(keys)], format.MaxSeqNum); ok {
			b.Fatal("found")
		}
	}
}

func BenchmarkNext(b *testing.B) {
	for _, how := range []string{"ascending", "random"} {
		b.Run("inserted="+how, func(b *testing.B) {
			var t *Table
			if how == "random" {
				t, _ = benchTable(b, true)
			} else {
				keys, _ := benchKeys(true)
				t, _ = Format(benchArena(), 1)
				for i, key := range keys {
					if err := t.Insert(key, format.Trailer(format.SeqNum(i+1), format.KindPut), make([]byte, 100)); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.Run("dir=next", func(b *testing.B) { benchWalk(b, t, (*Iter).First, (*Iter).Next) })
			b.Run("dir=prev", func(b *testing.B) { benchWalk(b, t, (*Iter).Last, (*Iter).Prev) })
		})
	}
}

func benchWalk(b *testing.B, t *Table, first, next func(*Iter) bool) {
	it := t.NewIter()
	b.ReportAllocs()
	bytes := 0
	for b.Loop() {
		if !it.Valid() && !first(it) || !it.Valid() {
			b.Fatal(it.Err())
		}
		bytes += len(it.Key()) + len(it.Value())
		next(it)
	}
	_ = bytes
}

func BenchmarkSeekGE(b *testing.B) {
	t, keys := benchTable(b, true)
	ikeys := make([][]byte, len(keys))
	for i := range keys {
		ikeys[i] = format.AppendInternalKey(nil, keys[i], format.MaxSeqNum, format.KindPut)
	}
	ikeys = lookups(ikeys)
	it := t.NewIter()
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if !it.SeekGE(ikeys[n%len(keys)]) {
			b.Fatal("missing")
		}
	}
}
