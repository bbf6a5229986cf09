package format_test

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/syndtr/goleveldb/leveldb/comparer"

	"github.com/levelparty/party/internal/format"
)

func ikey(user string, seq format.SeqNum, kind format.Kind) []byte {
	return format.AppendInternalKey(nil, []byte(user), seq, kind)
}

// first is where the entries of a user key begin.
func first(user string) []byte { return ikey(user, format.MaxSeqNum, format.KindPut) }

func TestInternalKey(t *testing.T) {
	for _, user := range []string{"", "k", "hello", strings.Repeat("long", 100)} {
		for _, seq := range []format.SeqNum{0, 1, 255, 256, 1<<32 - 1, 1 << 32, format.MaxSeqNum} {
			for _, kind := range []format.Kind{format.KindDelete, format.KindPut} {
				k := format.AppendInternalKey([]byte("before"), []byte(user), seq, kind)[len("before"):]
				if len(k) != len(user)+format.TrailerLen || string(format.UserKey(k)) != user ||
					format.KeySeq(k) != seq || format.KeyKind(k) != kind || format.KeyTrailer(k) != format.Trailer(seq, kind) {
					t.Errorf("%q %d %d: got %x", user, seq, kind, k)
				}
			}
		}
	}
	if got, want := string(ikey("ab", 0x01020304050607, format.KindPut)), "ab\x01\x07\x06\x05\x04\x03\x02\x01"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	k := ikey("user", 1, format.KindPut)
	_ = append(format.UserKey(k), "overwritten"...)
	if !bytes.Equal(k, ikey("user", 1, format.KindPut)) {
		t.Error("an append to the user key changed the trailer")
	}
}

func TestCompareInternal(t *testing.T) {
	ascending := [][]byte{
		first(""),
		ikey("", 2, format.KindPut),
		ikey("", 2, format.KindDelete),
		ikey("", 1, format.KindPut),
		ikey("", 0, format.KindDelete),
		ikey("\x00", 9, format.KindPut),
		ikey("\x00\x00", 9, format.KindPut),
		ikey("a", 1<<40, format.KindPut),
		ikey("a", 256, format.KindPut),
		ikey("a", 255, format.KindPut),
		ikey("a\x00", 1, format.KindPut),
		ikey("ab", 300, format.KindPut),
		ikey("b", 1, format.KindPut),
		ikey("\x7f", 1, format.KindPut),
		ikey("\x80", 1, format.KindPut),
		ikey("\xff", 1, format.KindPut),
		ikey("\xff\xff", 0, format.KindDelete),
	}
	for i, a := range ascending {
		for j, b := range ascending {
			if got := format.CompareInternal(a, b); got != cmp.Compare(i, j) {
				t.Errorf("%q and %q: got %d", a, b, got)
			}
		}
	}
}

// The cases of LevelDB's own test, db/dbformat_test.cc.
func TestSeparator(t *testing.T) {
	for _, c := range []struct{ name, a, b, want string }{
		{"same user key", "foo", "foo", ""},
		{"misordered", "foo", "bar", ""},
		{"shortened", "foo", "hello", "g"},
		{"prefix", "foo", "foobar", ""},
		{"prefix, misordered", "foobar", "foo", ""},
		{"shortened behind a prefix", "abcdefgh", "abzz", "abd"},
		{"neighbours", "abcd", "abd", ""},
		{"two apart", "abcd", "abe", "abd"},
		{"no byte greater", "a\xffb", "b", ""},
		{"up to ff", "a\xfdb", "a\xff", "a\xfe"},
		{"not shorter", "a", "c", ""},
		{"empty", "", "b", ""},
	} {
		a, b := ikey(c.a, 100, format.KindPut), ikey(c.b, 99, format.KindPut)
		want := a
		if c.want != "" {
			want = first(c.want)
		}
		if got := format.Separator([]byte("before"), a, b); string(got) != "before"+string(want) {
			t.Errorf("%s: got %q, want %q", c.name, got, want)
		}
	}
}

func TestSuccessor(t *testing.T) {
	for _, c := range []struct{ user, want string }{
		{"foo", "g"},
		{"\xff\xff", ""},
		{"", ""},
		{"f", ""},
		{"\xff\xffab", "\xff\xffb"},
		{"\xff\xffa", ""},
	} {
		a := ikey(c.user, 100, format.KindPut)
		want := a
		if c.want != "" {
			want = first(c.want)
		}
		if got := format.Successor([]byte("before"), a); string(got) != "before"+string(want) {
			t.Errorf("%q: got %q, want %q", c.user, got, want)
		}
	}
}

// Of random keys the results are in order, not longer, and what goleveldb's
// comparer, which knows user keys alone, makes of them.
func TestShortKeysRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	random := func() []byte {
		user := make([]byte, rnd.IntN(6))
		for i := range user {
			user[i] = []byte{0, 1, 'a', 'b', 'c', 0xfe, 0xff}[rnd.IntN(7)]
		}
		return format.AppendInternalKey(nil, user, format.SeqNum(rnd.IntN(3)), format.Kind(rnd.IntN(2)))
	}
	want := func(a, user []byte) []byte {
		if user == nil || len(user) >= len(format.UserKey(a)) {
			return a
		}
		return first(string(user))
	}
	shortened := 0
	for range 100_000 {
		keys := [][]byte{random(), random()}
		slices.SortFunc(keys, format.CompareInternal)
		a, b := keys[0], keys[1]
		k := format.Successor(nil, a)
		if format.CompareInternal(a, k) > 0 || len(k) > len(a) {
			t.Fatalf("Successor of %q: %q", a, k)
		}
		if want := want(a, comparer.DefaultComparer.Successor(nil, format.UserKey(a))); !bytes.Equal(k, want) {
			t.Fatalf("Successor of %q: %q, goleveldb %q", a, k, want)
		}
		if format.CompareInternal(a, b) == 0 {
			continue
		}
		k = format.Separator(nil, a, b)
		if format.CompareInternal(a, k) > 0 || format.CompareInternal(k, b) >= 0 || len(k) > len(a) {
			t.Fatalf("Separator of %q and %q: %q", a, b, k)
		}
		if want := want(a, comparer.DefaultComparer.Separator(nil, format.UserKey(a), format.UserKey(b))); !bytes.Equal(k, want) {
			t.Fatalf("Separator of %q and %q: %q, goleveldb %q", a, b, k, want)
		}
		if len(k) < len(a) {
			shortened++
		}
	}
	if shortened < 1000 {
		t.Errorf("only %d were shortened", shortened)
	}
}

func BenchmarkCompareInternal(b *testing.B) {
	x, y := ikey("user0000000000001", 1, format.KindPut), ikey("user0000000000002", 1, format.KindPut)
	for b.Loop() {
		format.CompareInternal(x, y)
	}
}
