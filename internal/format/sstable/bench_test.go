package sstable_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/sstable"
)

const benchEntries = 2 << 20 / 116 // a table of 2 MiB

// benchTable has keys of 16 bytes and values of 100 that cannot be compressed.
func benchTable(b *testing.B, c sstable.Compression) (*sstable.Reader, []entry) {
	entries := make([]entry, benchEntries)
	for i := range entries {
		v := make([]byte, 100)
		fillRandom(v, uint64(i))
		if c == sstable.Snappy { // half of it can
			copy(v[50:], make([]byte, 50))
		}
		entries[i] = entry{key(fmt.Sprintf("%016d", i*2), format.SeqNum(i+1)), v}
	}
	t := write(b, sstable.WriterOptions{Compression: c}, entries)
	return open(b, mapped(t), len(t), sstable.ReaderOptions{Cache: sstable.NewCache(8 << 20), VerifyChecksums: true}), entries
}

func benchKinds(b *testing.B, f func(b *testing.B, r *sstable.Reader, entries []entry)) {
	for name, c := range map[string]sstable.Compression{"raw": sstable.None, "snappy": sstable.Snappy} {
		r, entries := benchTable(b, c)
		b.Run(name, func(b *testing.B) { f(b, r, entries) })
	}
}

func BenchmarkGet(b *testing.B) {
	benchKinds(b, func(b *testing.B, r *sstable.Reader, entries []entry) {
		rng := rand.New(rand.NewPCG(1, 1))
		order := rng.Perm(len(entries))
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			k := entries[order[i]].key
			if i++; i == len(order) {
				i = 0
			}
			if _, _, ok, err := r.Get(k[:len(k)-8], format.MaxSeqNum, nil); !ok || err != nil {
				b.Fatal(ok, err)
			}
		}
	})
}

func BenchmarkGetMiss(b *testing.B) {
	r, _ := benchTable(b, sstable.None)
	rng := rand.New(rand.NewPCG(1, 1))
	var keys [][]byte
	for len(keys) < 10000 {
		k := []byte(fmt.Sprintf("%016d", rng.IntN(benchEntries)*2+1))
		if !r.MayContain(k) {
			keys = append(keys, k)
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i++; i == len(keys) {
			i = 0
		}
		if _, _, ok, err := r.Get(keys[i], format.MaxSeqNum, nil); ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	benchKinds(b, func(b *testing.B, r *sstable.Reader, entries []entry) {
		it := r.NewIter()
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			if !it.Next() {
				it.First()
			}
			n += len(it.Key()) + len(it.Value())
		}
	})
}

func BenchmarkPrev(b *testing.B) {
	benchKinds(b, func(b *testing.B, r *sstable.Reader, entries []entry) {
		it := r.NewIter()
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			if !it.Prev() {
				it.Last()
			}
			n += len(it.Key()) + len(it.Value())
		}
	})
}

func BenchmarkSeekGE(b *testing.B) {
	benchKinds(b, func(b *testing.B, r *sstable.Reader, entries []entry) {
		rng := rand.New(rand.NewPCG(1, 1))
		order := rng.Perm(len(entries))
		it := r.NewIter()
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if i++; i == len(order) {
				i = 0
			}
			if !it.SeekGE(entries[order[i]].key) {
				b.Fatal(it.Err())
			}
		}
	})
}

func BenchmarkWriter(b *testing.B) {
	for name, c := range map[string]sstable.Compression{"raw": sstable.None, "snappy": sstable.Snappy} {
		_, entries := benchTable(b, c)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(benchEntries * 116)
			b.ReportAllocs()
			for b.Loop() {
				w := sstable.NewWriter(io.Discard, sstable.WriterOptions{Compression: c})
				for _, e := range entries {
					if err := w.Add(e.key, e.value); err != nil {
						b.Fatal(err)
					}
				}
				if err := w.Finish(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	_, entries := benchTable(b, sstable.None)
	t := write(b, sstable.WriterOptions{}, entries)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sstable.Open(mapped(t), int64(len(t)), sstable.ReaderOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCache(b *testing.B) {
	c := sstable.NewCache(8 << 20)
	for i := range uint64(1000) {
		c.Put(7, i*4096, make([]byte, 4096))
	}
	b.RunParallel(func(pb *testing.PB) {
		i := uint64(0)
		for pb.Next() {
			i++
			c.Get(7, i%1000*4096)
		}
	})
}
