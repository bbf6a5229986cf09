package sstable_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/levelparty/party/internal/format/sstable"
)

// The values of google/leveldb util/hash_test.cc are of another seed; these are
// goleveldb's for the seed of the filter.
func TestBloomHash(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for n := range 40 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		if got, want := sstable.BloomHash(b), util.Hash(b, 0xbc9f1d34); got != want {
			t.Errorf("hash of %x is %08x, want %08x", b, got, want)
		}
	}
}

// One filter is goleveldb's bit for bit, says yes to all its keys and
// goleveldb agrees with what it says to others.
func TestFilterBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, bits := range []int{1, 2, 8, 10, 16, 40, 100} {
		for _, n := range []int{1, 2, 7, 100, 3000} {
			their := filter.NewBloomFilter(bits)
			gen := their.NewGenerator()
			var keys [][]byte
			for range n {
				k := fmt.Appendf(nil, "%x", rng.Uint64()>>rng.IntN(64))
				keys = append(keys, k)
				gen.Add(k)
			}
			var want util.Buffer
			gen.Generate(&want)
			block := sstable.FilterBlock(bits, []uint64{0}, [][][]byte{keys})
			got := block[:len(block)-9] // without one offset, their own, and the base
			if !bytes.Equal(got, want.Bytes()) {
				t.Fatalf("%d bits, %d keys: %x, want %x", bits, n, got, want.Bytes())
			}
			for _, k := range keys {
				if !sstable.FilterMayContain(block, 0, k) {
					t.Fatalf("%d bits, %d keys: no to %q", bits, n, k)
				}
				k = append(k, '!')
				if sstable.FilterMayContain(block, 2047, k) != their.Contains(got, k) {
					t.Fatalf("%d bits, %d keys: goleveldb differs on %q", bits, n, k)
				}
			}
		}
	}
}

// As google/leveldb table/filter_block_test.cc describes it: blocks share the
// filter of the 2 KiB they begin in, one without blocks is empty.
func TestFilterBlock(t *testing.T) {
	word := func(s string) []byte { return []byte(s) }
	block := sstable.FilterBlock(10, []uint64{0, 2000, 3100, 9000}, [][][]byte{
		{word("foo")}, {word("bar")}, {word("box")}, {word("box"), word("hello")},
	})
	for _, c := range []struct {
		offset uint64
		key    string
		want   bool
	}{
		{0, "foo", true}, {2000, "bar", true}, {0, "box", false}, {0, "hello", false},
		{3100, "box", true}, {3100, "foo", false}, {3100, "bar", false},
		{4100, "foo", false}, {4100, "bar", false}, {4100, "box", false}, {4100, "hello", false},
		{9000, "box", true}, {9000, "hello", true}, {9000, "foo", false}, {9000, "bar", false},
		{20000, "foo", true}, // behind the last: nothing is known
	} {
		if got := sstable.FilterMayContain(block, c.offset, word(c.key)); got != c.want {
			t.Errorf("%q at %d: %v", c.key, c.offset, got)
		}
	}
	if got := sstable.FilterBlock(10, nil, nil); !bytes.Equal(got, []byte{0, 0, 0, 0, 11}) {
		t.Errorf("the filter block of nothing is %x", got)
	}
}

func FuzzFilter(f *testing.F) {
	f.Add(sstable.FilterBlock(10, []uint64{0, 5000}, [][][]byte{{[]byte("a")}, {[]byte("b")}}), uint64(0), []byte("a"))
	f.Fuzz(func(t *testing.T, block []byte, offset uint64, key []byte) {
		sstable.FilterMayContain(block, offset, key)
	})
}
