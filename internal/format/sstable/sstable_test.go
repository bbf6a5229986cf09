package sstable_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/sstable"
	"github.com/levelparty/party/internal/partytest"
	"github.com/levelparty/party/internal/store"
)

// mapped is a table in memory, as a file that is mapped.
type mapped []byte

func (m mapped) Bytes() []byte                           { return m }
func (m mapped) ReadAt(p []byte, off int64) (int, error) { return bytes.NewReader(m).ReadAt(p, off) }
func file(b []byte) sstable.Source                       { return bytes.NewReader(b) }
func key(user string, seq format.SeqNum) []byte          { return ikey(user, seq, format.KindPut) }
func ikey(u string, s format.SeqNum, k format.Kind) []byte {
	return format.AppendInternalKey(nil, []byte(u), s, k)
}

type entry struct{ key, value []byte }

func write(t testing.TB, o sstable.WriterOptions, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := sstable.NewWriter(&b, o)
	for _, e := range entries {
		if err := w.Add(e.key, e.value); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	if w.Size() != uint64(b.Len()) {
		t.Fatalf("Size is %d, written %d", w.Size(), b.Len())
	}
	return b.Bytes()
}

func open(t testing.TB, src sstable.Source, size int, o sstable.ReaderOptions) *sstable.Reader {
	t.Helper()
	o.Name = "000005.ldb"
	r, err := sstable.Open(src, int64(size), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// someEntries are n entries that ascend: keys that are beginnings of others,
// that share little or much or go on like a trailer, several versions of some
// and deletions.
func someEntries(rng *rand.Rand, n int) []entry {
	seen := make(map[string]bool)
	var entries []entry
	word := func() []byte {
		b := make([]byte, rng.IntN(12))
		for i := range b {
			b[i] = "\x00\x01ab\xff"[rng.IntN(5)]
		}
		return b
	}
	stem := word()
	for len(entries) < n {
		switch rng.IntN(4) {
		case 0:
			stem = word()
		case 1: // as a whole internal key, to make prefixes meet trailers
			if len(entries) > 0 {
				stem = entries[rng.IntN(len(entries))].key
				stem = stem[:rng.IntN(len(stem)+1)]
			}
		}
		user := append(bytes.Clone(stem), word()...)
		for range 1 + rng.IntN(3) {
			k := format.AppendInternalKey(nil, user, format.SeqNum(rng.IntN(1000)), format.Kind(rng.IntN(2)))
			// One entry for each number, whatever its kind.
			if id := string(append(bytes.Clone(user), k[len(user)+1:]...)); !seen[id] {
				seen[id] = true
				value := bytes.Repeat([]byte{byte(rng.IntN(256))}, rng.IntN(1+rng.IntN(300)))
				entries = append(entries, entry{k, value})
			}
		}
	}
	sortEntries(entries)
	return entries
}

func numbered(n int) []entry {
	entries := make([]entry, n)
	for i := range entries {
		v := make([]byte, 100)
		fillRandom(v, uint64(i))
		entries[i] = entry{key(fmt.Sprintf("key-%012d", i*7), format.SeqNum(i+1)), v}
	}
	return entries
}

func fillRandom(b []byte, seed uint64) {
	rng := rand.NewPCG(seed, 1)
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, rng.Uint64())
		b = b[8:]
	}
}

// get is what Get should find in entries.
func get(entries []entry, user []byte, seq format.SeqNum) (value []byte, trailer uint64, ok bool) {
	i := searchEntries(entries, format.AppendInternalKey(nil, user, seq, format.KindPut))
	if i == len(entries) || !bytes.Equal(format.UserKey(entries[i].key), user) {
		return nil, 0, false
	}
	return entries[i].value, format.KeyTrailer(entries[i].key), true
}

func checkGet(t *testing.T, r *sstable.Reader, entries []entry, user []byte, seq format.SeqNum) {
	t.Helper()
	value, trailer, ok, err := r.Get(user, seq, nil)
	if err != nil {
		t.Fatalf("Get(%q, %d): %v", user, seq, err)
	}
	wantValue, wantTrailer, wantOK := get(entries, user, seq)
	if ok != wantOK || trailer != wantTrailer || !bytes.Equal(value, wantValue) {
		t.Fatalf("Get(%q, %d) = %q, %x, %v, want %q, %x, %v", user, seq, value, trailer, ok, wantValue, wantTrailer, wantOK)
	}
	if ok && !r.MayContain(user) {
		t.Fatalf("MayContain(%q) is false", user)
	}
}

// checkAt checks that the iterator stands on entry at, or nowhere if there is
// no such one.
func checkAt(t *testing.T, it *sstable.Iter, moved bool, entries []entry, at int, how string) {
	t.Helper()
	if it.Err() != nil {
		t.Fatalf("%s: %v", how, it.Err())
	}
	want := at >= 0 && at < len(entries)
	if moved != want || it.Valid() != want {
		t.Fatalf("%s to %d of %d: %v, valid %v", how, at, len(entries), moved, it.Valid())
	}
	if want && (!bytes.Equal(it.Key(), entries[at].key) || !bytes.Equal(it.Value(), entries[at].value)) {
		t.Fatalf("%s to %d: %q = %q, want %q = %q", how, at, it.Key(), it.Value(), entries[at].key, entries[at].value)
	}
}

// checkTable compares all a Reader says with entries.
func checkTable(t *testing.T, r *sstable.Reader, it *sstable.Iter, entries []entry, rng *rand.Rand) {
	t.Helper()
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		checkAt(t, it, ok, entries, n, "Next")
		n++
	}
	checkAt(t, it, false, entries, -1, "Next")
	if n != len(entries) {
		t.Fatalf("%d entries, want %d", n, len(entries))
	}
	for ok := it.Last(); ok; ok = it.Prev() {
		n--
		checkAt(t, it, ok, entries, n, "Prev")
	}
	checkAt(t, it, false, entries, -1, "Prev")
	if n != 0 {
		t.Fatalf("%d entries unseen going back", n)
	}
	for _, e := range entries {
		user := format.UserKey(e.key)
		for _, seq := range []format.SeqNum{format.MaxSeqNum, format.KeySeq(e.key), format.KeySeq(e.key) + 1, 0} {
			checkGet(t, r, entries, user, seq)
		}
		checkGet(t, r, entries, e.key, format.MaxSeqNum)
		checkGet(t, r, entries, append(bytes.Clone(user), 0), format.MaxSeqNum)
		if len(user) > 0 {
			checkGet(t, r, entries, user[:len(user)-1], format.MaxSeqNum)
		}
	}
	// A walk at random.
	at := -1
	for range 4 * len(entries) {
		switch k := rng.IntN(8); {
		case k == 0 || at < 0 || at >= len(entries):
			target := key("zz", 1)
			if len(entries) > 0 {
				target = bytes.Clone(entries[rng.IntN(len(entries))].key)
				if rng.IntN(2) == 0 {
					target[rng.IntN(len(target))] += byte(rng.IntN(256))
				}
			}
			at = searchEntries(entries, target)
			checkAt(t, it, it.SeekGE(target), entries, at, "SeekGE")
		case k < 4:
			at++
			checkAt(t, it, it.Next(), entries, at, "Next")
		default:
			at--
			checkAt(t, it, it.Prev(), entries, at, "Prev")
		}
	}
	i := 0
	err := r.Check(func(k, v []byte) error {
		if !bytes.Equal(k, entries[i].key) || !bytes.Equal(v, entries[i].value) {
			t.Errorf("Check: entry %d is %q = %q", i, k, v)
		}
		i++
		return nil
	})
	if err != nil || i != len(entries) {
		t.Fatalf("Check: %d entries, %v", i, err)
	}
}

func TestRoundTrip(t *testing.T) {
	rng := partytest.Random(t)
	var reused sstable.Iter
	for round := range 60 {
		o := sstable.WriterOptions{
			BlockSize:       1 << rng.IntN(14),
			RestartInterval: []int{0, 1, 2, 3, 16, 1000}[rng.IntN(6)],
			Compression:     sstable.Compression(rng.IntN(2)),
			BloomBits:       []int{-1, 0, 1, 10, 60}[rng.IntN(5)],
		}
		entries := someEntries(rng, []int{0, 1, 2, 30, 400}[round%5])
		table := write(t, o, entries)
		for _, cache := range []sstable.Cache{nil, sstable.NewCache(8 << 10), sstable.NewCache(1 << 20)} {
			for _, verify := range []bool{false, true} {
				ro := sstable.ReaderOptions{ID: uint64(round), Cache: cache, VerifyChecksums: verify}
				for name, src := range map[string]sstable.Source{"mapped": mapped(table), "file": file(table)} {
					r := open(t, src, len(table), ro)
					checkTable(t, r, r.NewIter(), entries, rng)
					if reused.ResetScan(r); round%2 == 0 {
						reused.Reset(r)
					}
					checkTable(t, r, &reused, entries, rng)
					if t.Failed() {
						t.Fatalf("%s, %+v", name, o)
					}
				}
			}
		}
	}
}

// Keys and values so long that their lengths take several bytes.
func TestLongEntries(t *testing.T) {
	var entries []entry
	for i := range 40 {
		k := append(bytes.Repeat([]byte("k"), 1<<(i%17)), fmt.Sprintf("%05d", i)...)
		entries = append(entries, entry{format.AppendInternalKey(nil, k, 7, format.KindPut), bytes.Repeat([]byte{byte(i)}, 1<<(i%20))})
	}
	sortEntries(entries)
	table := write(t, sstable.WriterOptions{Compression: sstable.Snappy}, entries)
	r := open(t, mapped(table), len(table), sstable.ReaderOptions{VerifyChecksums: true})
	checkTable(t, r, r.NewIter(), entries, rand.New(rand.NewPCG(1, 1)))
}

func TestWriterRefuses(t *testing.T) {
	for name, keys := range map[string][][]byte{
		"equal":          {key("a", 1), key("a", 1)},
		"newer behind":   {key("a", 1), key("a", 2)},
		"descending":     {key("b", 1), key("a", 1)},
		"no trailer":     {[]byte("1234567")},
		"across a block": {key("b", 1), key("a", 1)},
	} {
		var b bytes.Buffer
		o := sstable.WriterOptions{}
		if name == "across a block" {
			o.BlockSize = 1
		}
		w := sstable.NewWriter(&b, o)
		var err error
		for _, k := range keys {
			err = errors.Join(err, w.Add(k, nil))
		}
		if !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if err := w.Finish(); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: Finish: %v", name, err)
		}
	}
	w := sstable.NewWriter(full{}, sstable.WriterOptions{})
	if err := w.Finish(); !errors.Is(err, errFull) {
		t.Errorf("Finish on a full disk: %v", err)
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestApproximateOffset(t *testing.T) {
	entries := numbered(1000)
	table := write(t, sstable.WriterOptions{}, entries)
	r := open(t, mapped(table), len(table), sstable.ReaderOptions{})
	last := uint64(0)
	for i, e := range entries {
		off := r.ApproximateOffset(e.key)
		if off < last || off > uint64(len(table)) {
			t.Fatalf("entry %d at %d, before it %d", i, off, last)
		}
		if about := uint64(i) * 112; off > about+8192 || off+8192 < about {
			t.Fatalf("entry %d at %d, want about %d", i, off, about)
		}
		last = off
	}
	if off := r.ApproximateOffset(key("z", 1)); off < uint64(len(table))*9/10 || off > uint64(len(table)) {
		t.Fatalf("the end is at %d of %d", off, len(table))
	}
}

func TestNoAllocations(t *testing.T) {
	entries := numbered(5000)
	for _, c := range []sstable.Compression{sstable.None, sstable.Snappy} {
		table := write(t, sstable.WriterOptions{Compression: c}, entries)
		r := open(t, mapped(table), len(table), sstable.ReaderOptions{Cache: sstable.NewCache(1 << 20), VerifyChecksums: true})
		it := r.NewIter()
		walk := func() {
			for ok := it.First(); ok; ok = it.Next() {
			}
			for ok := it.Last(); ok; ok = it.Prev() {
			}
			for _, e := range entries[:100] {
				if !it.SeekGE(e.key) {
					t.Error(it.Err())
				}
				if _, _, ok, err := r.Get(e.key[:len(e.key)-8], format.MaxSeqNum, nil); !ok || err != nil {
					t.Error(ok, err)
				}
			}
		}
		walk()
		if n := testing.AllocsPerRun(5, walk); n > 0 {
			t.Errorf("compression %d: %v allocations", c, n)
		}
	}
}
func sortEntries(entries []entry) {
	slices.SortFunc(entries, func(a, b entry) int { return format.CompareInternal(a.key, b.key) })
}

func searchEntries(entries []entry, ikey []byte) int {
	i, _ := slices.BinarySearchFunc(entries, ikey, func(e entry, k []byte) int { return format.CompareInternal(e.key, k) })
	return i
}
