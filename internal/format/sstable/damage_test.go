package sstable_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/sstable"
)

// useAll does with a table all that can be done and returns the first error,
// and what it read.
func useAll(src sstable.Source, size int, o sstable.ReaderOptions, probes [][]byte) (all []entry, err error) {
	r, err := sstable.Open(src, int64(size), o)
	if err != nil {
		return nil, err
	}
	it := r.NewIter()
	n := 0
	for ok := it.First(); ok && n < 1<<20; ok = it.Next() {
		all = append(all, entry{bytes.Clone(it.Key()), bytes.Clone(it.Value())})
		n++
	}
	err = it.Err()
	for ok := it.Last(); ok && n > -1<<20; ok = it.Prev() {
		n--
	}
	err = errors.Join(err, it.Err())
	if n != 0 && err == nil {
		err = &format.Corruption{Reason: "entries seen one way only"}
	}
	for _, k := range probes {
		it.SeekGE(k)
		it.Prev()
		it.Next()
		err = errors.Join(err, it.Err())
		_, _, _, e := r.Get(format.UserKey(k), format.KeySeq(k), nil)
		r.MayContain(format.UserKey(k))
		r.ApproximateOffset(k)
		err = errors.Join(err, e)
	}
	_ = r.Check(func(k, v []byte) error { return nil })
	return all, err
}

func TestEveryByteFlipped(t *testing.T) {
	entries := someEntries(rand.New(rand.NewPCG(3, 3)), 16)
	var probes [][]byte
	for _, e := range entries {
		probes = append(probes, e.key)
	}
	for _, c := range []sstable.Compression{sstable.None, sstable.Snappy} {
		table := write(t, sstable.WriterOptions{BlockSize: 256, RestartInterval: 3, Compression: c}, entries)
		for i := range table {
			bad := bytes.Clone(table)
			bad[i] ^= 1 << (i % 8)
			for _, src := range []sstable.Source{mapped(bad), file(bad)} {
				o := sstable.ReaderOptions{Name: "000005.ldb", VerifyChecksums: true, Cache: sstable.NewCache(64 << 10)}
				got, err := useAll(src, len(bad), o, probes)
				var where *format.Corruption
				switch {
				case err != nil && !errors.As(err, &where):
					t.Fatalf("byte %d: %v", i, err)
				case err != nil && where.File != o.Name:
					t.Fatalf("byte %d: no file in %v", i, err)
				case err == nil && !sameEntries(got, entries):
					t.Fatalf("byte %d of %d: other entries and no error", i, len(table))
				}
				// Unverified, anything but a panic will do.
				o.VerifyChecksums, o.Cache = false, nil
				_, _ = useAll(src, len(bad), o, probes)
			}
		}
	}
}

// A damaged filter costs speed, not data, and Check tells.
func TestDamagedFilter(t *testing.T) {
	entries := numbered(100)
	table := write(t, sstable.WriterOptions{}, entries)
	meta, _ := metaindex(table)
	table[meta-20] ^= 1 // within the filter block
	r := open(t, mapped(table), len(table), sstable.ReaderOptions{VerifyChecksums: true})
	for _, e := range entries {
		checkGet(t, r, entries, format.UserKey(e.key), format.MaxSeqNum)
	}
	if err := r.Check(nil); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("Check: %v", err)
	}
}

func TestTruncated(t *testing.T) {
	table := write(t, sstable.WriterOptions{}, numbered(100))
	for n := range len(table) {
		for _, src := range []sstable.Source{mapped(table[:n]), file(table[:n])} {
			for _, size := range []int{n, len(table)} {
				if _, err := sstable.Open(src, int64(size), sstable.ReaderOptions{}); err == nil {
					t.Fatalf("opened %d bytes of %d", n, len(table))
				}
			}
		}
	}
}

func TestCheckFindsFaults(t *testing.T) {
	sum := func(b []byte, block, size int) {
		binary.LittleEndian.PutUint32(b[block+size+1:], format.Checksum(b[block:block+size+1]))
	}
	// 13, 13 and 12 bytes of entries, one restart point and their number.
	const size = 13 + 13 + 12 + 8
	for name, c := range map[string]struct {
		damage func(b []byte)
		want   string
	}{
		// The first entry is 0, 9, 1, "a", trailer, "1".
		"order":    {func(b []byte) { b[3] = 'b' }, "not greater than the one before"},
		"kind":     {func(b []byte) { b[4] = 7 }, "unknown kind"},
		"filter":   {func(b []byte) { b[3] = 'A' }, "filter does not know"},
		"entry":    {func(b []byte) { b[1] = 200 }, "bad entry"},
		"restarts": {func(b []byte) { b[size-8]++ }, "restart point"},
	} {
		table := write(t, sstable.WriterOptions{}, []entry{
			{key("a", 1), []byte("1")}, {key("b", 2), []byte("2")}, {key("c", 3), nil},
		})
		if table[size] != 0 || binary.LittleEndian.Uint32(table[size-4:]) != 1 {
			t.Fatal("the first block does not end where it should")
		}
		c.damage(table)
		sum(table, 0, size)
		r := open(t, mapped(table), len(table), sstable.ReaderOptions{})
		if err := r.Check(nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func sameEntries(a, b []entry) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i].key, b[i].key) || !bytes.Equal(a[i].value, b[i].value) {
			return false
		}
	}
	return true
}

// repair makes checksums match where it can, so that fuzzing gets behind them.
func repair(b []byte) {
	if len(b) < 48 {
		return
	}
	sum := func(p []byte) (rest []byte, block []byte) {
		off, n := binary.Uvarint(p)
		if n <= 0 {
			return nil, nil
		}
		size, m := binary.Uvarint(p[n:])
		if m <= 0 || off > uint64(len(b)) || size > uint64(len(b)) || off+size+5 > uint64(len(b)-48) {
			return nil, nil
		}
		binary.LittleEndian.PutUint32(b[off+size+1:], format.Checksum(b[off:off+size+1]))
		return p[n+m:], b[off : off+size]
	}
	binary.LittleEndian.PutUint64(b[len(b)-8:], 0xdb4775248b80fb57)
	rest, meta := sum(b[len(b)-48:])
	sum(rest)
	if i := bytes.Index(meta, []byte("BloomFilter2")); i >= 0 {
		sum(meta[i+12:])
		sum(b[len(b)-48:])
	}
}

func FuzzReader(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 9))
	for _, c := range []sstable.Compression{sstable.None, sstable.Snappy} {
		for _, n := range []int{0, 1, 5, 60} {
			f.Add(write(f, sstable.WriterOptions{BlockSize: 256, RestartInterval: 3, Compression: c}, someEntries(rng, n)))
		}
	}
	probes := [][]byte{key("", 5), key("a", 5), key("ab", 500), key("\x00\x01a", 1), key("\xff\xff", 1), key("a\x01\x00", 900)}
	f.Fuzz(func(t *testing.T, b []byte) {
		repair(b)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for _, src := range []sstable.Source{mapped(b), file(b)} {
			for _, verify := range []bool{false, true} {
				_, _ = useAll(src, len(b), sstable.ReaderOptions{VerifyChecksums: verify, Cache: sstable.NewCache(1 << 16)}, probes)
			}
		}
		runtime.ReadMemStats(&after)
		// Blocks unpack to 22 times their size at most, and overlapping keys
		// within them can be copied for each entry.
		if used, most := after.TotalAlloc-before.TotalAlloc, uint64(64<<20+4000*len(b)); used > most {
			t.Errorf("%d bytes allocated for a table of %d", used, len(b))
		}
	})
}
