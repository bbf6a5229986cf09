package sstable_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/sstable"
	"github.com/levelparty/party/internal/partytest"
)

// salvage returns what Salvage finds, a line for each entry, and what is lost.
func salvage(t testing.TB, table []byte) (entries []string, lost []sstable.Lost) {
	t.Helper()
	var last []byte
	err := sstable.Salvage(bytes.NewReader(table), int64(len(table)), "table", func(ikey, value []byte) error {
		if last != nil && format.CompareInternal(last, ikey) >= 0 {
			t.Fatalf("%q follows %q", ikey, last)
		}
		last = bytes.Clone(ikey)
		entries = append(entries, fmt.Sprintf("%q %q", ikey, value))
		return nil
	}, func(l sstable.Lost) {
		if l.Offset < 0 || l.Size <= 0 || l.Offset+l.Size > int64(len(table)) || l.Reason == "" {
			t.Fatalf("%+v of %d", l, len(table))
		}
		lost = append(lost, l)
	})
	if err != nil {
		t.Fatal(err)
	}
	return entries, lost
}

// Property: of a table that was cut off, or in which one byte is another, all
// blocks are found but the one that is hit, the index or not.
func TestSalvage(t *testing.T) {
	rnd := partytest.Random(t)
	for range 200 {
		var b bytes.Buffer
		w := sstable.NewWriter(&b, sstable.WriterOptions{
			BlockSize: 100 + rnd.IntN(3000), Compression: sstable.Compression(rnd.IntN(2)), BloomBits: []int{-1, 10}[rnd.IntN(2)],
		})
		var want, ends []string // entries; the internal key that each has
		n := 1 + rnd.IntN(400)
		for i := range n {
			key := format.AppendInternalKey(nil, fmt.Appendf(nil, "key%05d", i), format.SeqNum(1+rnd.IntN(1000)), format.Kind(rnd.IntN(2)))
			value := strings.Repeat("v", rnd.IntN(100))
			if err := w.Add(key, []byte(value)); err != nil {
				t.Fatal(err)
			}
			want, ends = append(want, fmt.Sprintf("%q %q", key, value)), append(ends, string(key))
		}
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		table := b.Bytes()
		r, err := sstable.Open(bytes.NewReader(table), int64(len(table)), sstable.ReaderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got, lost := salvage(t, table); fmt.Sprint(got) != fmt.Sprint(want) || len(lost) > 0 {
			t.Fatalf("whole: %d entries, want %d, lost %+v", len(got), len(want), lost)
		}
		begin := func(i int) int { return int(r.ApproximateOffset([]byte(ends[i]))) }
		end := func(i int) int {
			for j := i; j < n; j++ {
				if begin(j) != begin(i) {
					return begin(j)
				}
			}
			return int(r.DataEnd())
		}
		except := func(hit func(begin, end int) bool) (left []string) {
			for i, e := range want {
				if !hit(begin(i), end(i)) {
					left = append(left, e)
				}
			}
			return left
		}
		cut := rnd.IntN(len(table))
		if got, _ := salvage(t, table[:cut]); fmt.Sprint(got) != fmt.Sprint(except(func(_, end int) bool { return end > cut })) {
			t.Fatalf("cut to %d of %d: %d entries", cut, len(table), len(got))
		}
		at := rnd.IntN(len(table))
		if rnd.IntN(2) == 0 {
			at = int(r.DataEnd()) + rnd.IntN(len(table)-int(r.DataEnd()))
		}
		flipped := bytes.Clone(table)
		flipped[at] ^= byte(1 + rnd.IntN(255))
		got, _ := salvage(t, flipped)
		if fmt.Sprint(got) != fmt.Sprint(except(func(begin, end int) bool { return begin <= at && at < end })) {
			t.Fatalf("byte %d of %d, data up to %d: %d entries of %d", at, len(table), r.DataEnd(), len(got), n)
		}
	}
}

// Salvage takes whatever bytes.
func FuzzSalvage(f *testing.F) {
	var b bytes.Buffer
	w := sstable.NewWriter(&b, sstable.WriterOptions{BlockSize: 64})
	for i := range 20 {
		if err := w.Add(format.AppendInternalKey(nil, fmt.Appendf(nil, "k%03d", i), 7, format.KindPut), []byte("value")); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:200])
	f.Fuzz(func(t *testing.T, table []byte) { salvage(t, table) })
}
