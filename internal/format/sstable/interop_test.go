package sstable_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"
	"github.com/syndtr/goleveldb/leveldb/table"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/sstable"
)

// theirComparer and theirFilter make goleveldb's table package read and write
// what LevelDB does: internal keys, and filters of user keys.
type theirComparer struct{}

func (theirComparer) Compare(a, b []byte) int           { return format.CompareInternal(a, b) }
func (theirComparer) Name() string                      { return format.ComparerName }
func (theirComparer) Separator(dst, a, b []byte) []byte { return format.Separator(dst, a, b) }
func (theirComparer) Successor(dst, a []byte) []byte    { return format.Successor(dst, a) }

type theirFilter struct{ filter.Filter }

func (f theirFilter) Name() string { return "leveldb.BuiltinBloomFilter2" }
func (f theirFilter) Contains(filter, key []byte) bool {
	return f.Filter.Contains(filter, format.UserKey(key))
}
func (f theirFilter) NewGenerator() filter.FilterGenerator {
	return theirGenerator{f.Filter.NewGenerator()}
}

type theirGenerator struct{ filter.FilterGenerator }

func (g theirGenerator) Add(key []byte) { g.FilterGenerator.Add(format.UserKey(key)) }

func theirOptions(o sstable.WriterOptions) *opt.Options {
	their := &opt.Options{
		Comparer: theirComparer{}, BlockSize: o.BlockSize, BlockRestartInterval: o.RestartInterval,
		Compression: opt.NoCompression, Strict: opt.StrictAll,
	}
	if o.Compression == sstable.Snappy {
		their.Compression = opt.SnappyCompression
	}
	if o.BloomBits > 0 {
		their.Filter = theirFilter{filter.NewBloomFilter(o.BloomBits)}
	}
	return their
}

func theirTable(t testing.TB, o sstable.WriterOptions, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := table.NewWriter(&b, theirOptions(o), nil, 0)
	for _, e := range entries {
		if err := w.Append(e.key, e.value); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func eachFormat(t *testing.T, f func(t *testing.T, o sstable.WriterOptions, rng *rand.Rand)) {
	for _, o := range []sstable.WriterOptions{
		{BlockSize: 4096, RestartInterval: 16, BloomBits: 10},
		{BlockSize: 4096, RestartInterval: 16, BloomBits: 10, Compression: sstable.Snappy},
		{BlockSize: 4096, RestartInterval: 16, BloomBits: -1, Compression: sstable.Snappy},
		{BlockSize: 300, RestartInterval: 3, BloomBits: 25, Compression: sstable.Snappy},
		{BlockSize: 40000, RestartInterval: 1, BloomBits: 1},
	} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			f(t, o, rand.New(rand.NewPCG(5, uint64(o.BlockSize))))
		})
	}
}

func TestReadTheirs(t *testing.T) {
	eachFormat(t, func(t *testing.T, o sstable.WriterOptions, rng *rand.Rand) {
		for _, entries := range [][]entry{someEntries(rng, 500), numbered(3000)} {
			b := theirTable(t, o, entries)
			for name, src := range map[string]sstable.Source{"mapped": mapped(b), "file": file(b)} {
				t.Run(name, func(t *testing.T) {
					r := open(t, src, len(b), sstable.ReaderOptions{VerifyChecksums: true, Cache: sstable.NewCache(4 << 20)})
					checkTable(t, r, r.NewIter(), entries, rng)
				})
			}
		}
	})
}

func TestTheyReadOurs(t *testing.T) {
	eachFormat(t, func(t *testing.T, o sstable.WriterOptions, rng *rand.Rand) {
		for _, entries := range [][]entry{someEntries(rng, 500), numbered(3000)} {
			b := write(t, o, entries)
			r, err := table.NewReader(bytes.NewReader(b), int64(len(b)), storage.FileDesc{}, nil, nil, theirOptions(o))
			if err != nil {
				t.Fatal(err)
			}
			i := 0
			it := r.NewIterator(nil, nil)
			for ; it.Next(); i++ {
				if !bytes.Equal(it.Key(), entries[i].key) || !bytes.Equal(it.Value(), entries[i].value) {
					t.Fatalf("entry %d: %q = %q", i, it.Key(), it.Value())
				}
			}
			if it.Error() != nil || i != len(entries) {
				t.Fatalf("%d entries, want %d: %v", i, len(entries), it.Error())
			}
			it.Release()
			for _, e := range entries {
				k, v, err := r.Find(e.key, true, nil)
				if err != nil || !bytes.Equal(k, e.key) || !bytes.Equal(v, e.value) {
					t.Fatalf("Find(%q) = %q, %q, %v", e.key, k, v, err)
				}
			}
		}
	})
}

// Without compression there is nothing a writer may choose: the tables are the
// same, filter and all, but for the checksum of the filter's block and what is
// behind it, as goleveldb has a restart point in an empty index.
func TestSameBytes(t *testing.T) {
	eachFormat(t, func(t *testing.T, o sstable.WriterOptions, rng *rand.Rand) {
		o.Compression = sstable.None
		for _, entries := range [][]entry{someEntries(rng, 500), numbered(3000)} {
			ours, theirs := write(t, o, entries), theirTable(t, o, entries)
			if !bytes.Equal(ours, theirs) {
				t.Errorf("ours %d bytes, theirs %d", len(ours), len(theirs))
			}
		}
	})
}

// A table from before filters, or of a filter with another name, is read
// without.
func TestForeignFilter(t *testing.T) {
	entries := numbered(300)
	o := sstable.WriterOptions{BloomBits: 10}
	b := bytes.Replace(write(t, o, entries), []byte("BloomFilter2"), []byte("BloomFilter3"), 1)
	meta, size := metaindex(b)
	binary.LittleEndian.PutUint32(b[meta+size+1:], format.Checksum(b[meta:meta+size+1]))
	for _, b := range [][]byte{b, write(t, sstable.WriterOptions{BloomBits: -1}, entries)} {
		r := open(t, mapped(b), len(b), sstable.ReaderOptions{})
		checkTable(t, r, r.NewIter(), entries, rand.New(rand.NewPCG(1, 2)))
		if !r.MayContain([]byte("key-000000000001")) {
			t.Error("says no without a filter")
		}
	}
}

func metaindex(b []byte) (offset, size int) {
	f := b[len(b)-48:]
	off, n := binary.Uvarint(f)
	length, _ := binary.Uvarint(f[n:])
	return int(off), int(length)
}

func TestFilterRate(t *testing.T) {
	entries := numbered(10000)
	b := write(t, sstable.WriterOptions{}, entries)
	r := open(t, mapped(b), len(b), sstable.ReaderOptions{})
	wrong := 0
	for i := range 10000 {
		if r.MayContain([]byte(fmt.Sprintf("key-%012d", i*7+3))) {
			wrong++
		}
	}
	if wrong > 300 {
		t.Errorf("%d of 10000 absent keys are said to be there", wrong)
	}
	t.Logf("%d of 10000", wrong)
}
