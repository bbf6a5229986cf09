package party_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/levelparty/party"
)

// filled returns a handle on a database of n entries of 16+100 bytes, in tables.
func filled(b *testing.B, n int) *party.DB {
	b.Helper()
	ctx := context.Background()
	db, err := party.Open(ctx, b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	rnd := rand.NewChaCha8([32]byte{1})
	value := make([]byte, 100)
	var batch party.Batch
	for i := range n {
		rnd.Read(value)
		batch.Put(fmt.Appendf(nil, "%016d", i), value)
		if batch.Len() == 1000 || i == n-1 {
			if err := db.Write(ctx, &batch); err != nil {
				b.Fatal(err)
			}
			batch.Reset()
		}
	}
	if err := db.CompactRange(ctx, party.Range{}); err != nil {
		b.Fatal(err)
	}
	return db
}

func BenchmarkGet(b *testing.B) {
	const n = 100000
	db, ctx := filled(b, n), context.Background()
	keys := make([][]byte, 1024)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "%016d", rand.IntN(n))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := db.Get(ctx, keys[i%len(keys)]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	const n = 100000
	db, ctx := filled(b, n), context.Background()
	total := 0
	for b.Loop() {
		it := db.Iterator(ctx, party.IteratorOptions{})
		for it.Next() {
			total += len(it.Key()) + len(it.Value())
		}
		if err := it.Err(); err != nil {
			b.Fatal(err)
		}
		it.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/entry")
}

func BenchmarkPut(b *testing.B) {
	db, err := party.Open(context.Background(), b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	rnd := rand.NewChaCha8([32]byte{1})
	value := make([]byte, 100)
	keys := make([][]byte, 1024)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "%016d", rand.IntN(100000))
	}
	ctx := context.Background()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		rnd.Read(value)
		if err := db.Put(ctx, keys[i%len(keys)], value); err != nil {
			b.Fatal(err)
		}
	}
}
