package sstable_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/sstable"
	"github.com/levelparty/party/internal/partytest"
)

func block(interval int, entries []entry) []byte {
	var keys, values [][]byte
	for _, e := range entries {
		keys = append(keys, e.key)
		values = append(values, e.value)
	}
	return sstable.BuildBlock(interval, keys, values)
}

// lookup finds in a block what a search by whole keys finds.
func TestLookup(t *testing.T) {
	rng := partytest.Random(t)
	for range 300 {
		entries := someEntries(rng, 1+rng.IntN(60))
		b := block(1+rng.IntN(20), entries)
		for range 300 {
			// A whole key as a user key: what follows user in it is compared, too.
			k := entries[rng.IntN(len(entries))].key
			user := append(bytes.Clone(k[:rng.IntN(len(k)+1)]), "\x00\x01a"[:rng.IntN(3)]...)
			limit := format.Trailer(format.SeqNum(rng.IntN(1000)), format.KindPut)
			value, trailer, found, ok := sstable.Lookup(b, user, limit)
			wantValue, wantTrailer, want := get(entries, user, format.SeqNum(limit>>8))
			if !ok || found != want || trailer != wantTrailer || !bytes.Equal(value, wantValue) {
				t.Fatalf("Lookup(%q, %x) = %q, %x, %v, %v, want %q, %x, %v", user, limit, value, trailer, found, ok, wantValue, wantTrailer, want)
			}
		}
	}
}

// Writers need not share all that keys share.
func TestLookupSharedLess(t *testing.T) {
	// "abc" whole, "abd" with one shared byte though two are.
	b := []byte{0, 11, 1}
	b = append(append(b, key("abc", 1)...), 'x', 1, 10, 1)
	b = append(append(b, key("abd", 1)[1:]...), 'y', 0, 0, 0, 0, 1, 0, 0, 0)
	for user, want := range map[string]string{"abc": "x", "abd": "y", "abe": "", "ab": ""} {
		value, _, found, ok := sstable.Lookup(b, []byte(user), format.Trailer(9, 1))
		if !ok || found != (want != "") || string(value) != want {
			t.Errorf("Lookup(%q) = %q, %v, %v", user, value, found, ok)
		}
	}
}

func TestCountLess(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 4))
	for n := range 200 {
		a := make([]uint64, n)
		for i := range a {
			a[i] = rng.Uint64N(uint64(n) + 10)
		}
		slices.Sort(a)
		for p := range uint64(n) + 12 {
			want, _ := slices.BinarySearch(a, p)
			if got := sstable.CountLess(a, p); got != want {
				t.Fatalf("%d of %v are less than %d", got, a, p)
			}
		}
	}
}

// FuzzBlock takes any bytes as a block: no panic, no endless walk, and in a
// block whose keys ascend all ways to reach an entry agree.
func FuzzBlock(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 5))
	for _, n := range []int{0, 1, 3, 40} {
		f.Add(block(3, someEntries(rng, n)), key("a", 1))
		f.Add(block(16, someEntries(rng, n)), key("a\x00", 800))
	}
	f.Fuzz(func(t *testing.T, b, target []byte) {
		if len(target) < format.TrailerLen {
			target = append(target, make([]byte, format.TrailerLen)...)
		}
		var it sstable.BlockIter
		if !it.Init(b) {
			return
		}
		var entries []entry
		ascend := true
		size := 0
		for ok := it.First(); ok; ok = it.Next() {
			if n := len(entries); n > 0 && format.CompareInternal(entries[n-1].key, it.Key()) >= 0 {
				ascend = false
			}
			if size += len(it.Key()); size > 1<<20 {
				return
			}
			entries = append(entries, entry{bytes.Clone(it.Key()), it.Value()})
			if len(entries) > len(b) {
				t.Fatal("more entries than bytes")
			}
		}
		good := ascend && !it.Bad()
		n := len(entries)
		for ok := it.Last(); ok && n > -len(b); ok = it.Prev() {
			n--
			if it.Bad() || n < 0 || !bytes.Equal(it.Key(), entries[n].key) || !bytes.Equal(it.Value(), entries[n].value) {
				good = false // a restart point within an entry
			}
		}
		good = good && n == 0
		user, limit := format.UserKey(target), format.KeyTrailer(target)
		value, trailer, found, ok := sstable.Lookup(b, user, limit)
		sought := it.Seek(target)
		if sought {
			it.Prev()
			it.Next()
		}
		if !good || !ok || it.Bad() {
			return
		}
		// Restart points may still be out of order; without them all is certain.
		if b[len(b)-4] != 1 || !bytes.Equal(b[len(b)-3:], []byte{0, 0, 0}) {
			return
		}
		want := searchEntries(entries, target)
		if sought != (want < len(entries)) {
			t.Fatalf("Seek(%q) is %v, entry %d of %d", target, sought, want, len(entries))
		}
		wantFound := want < len(entries) && bytes.Equal(format.UserKey(entries[want].key), user)
		if found != wantFound || found && (trailer != format.KeyTrailer(entries[want].key) || !bytes.Equal(value, entries[want].value)) {
			t.Fatalf("Lookup(%q) is %v, want %v", target, found, wantFound)
		}
	})
}
