package party_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/dbtest"
)

// goldenName is a name of a sublevel: a string, or an object with a separator.
type goldenName struct{ Name, Separator string }

func (n *goldenName) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		return json.Unmarshal(data, &n.Name)
	}
	type object goldenName
	return json.Unmarshal(data, (*object)(n))
}

// goldenRange is a range of a sublevel, its bounds in hex.
type goldenRange struct {
	GT, GTE, LT, LTE *string
	Reverse          bool
	Limit            int
}

func (r goldenRange) bytes(t *testing.T) party.Range {
	bound := func(s *string) []byte {
		if s == nil {
			return nil
		}
		return append([]byte{}, unhex(t, *s)...)
	}
	return party.Range{GT: bound(r.GT), GTE: bound(r.GTE), LT: bound(r.LT), LTE: bound(r.LTE)}
}

// kvAt returns the sublevel of names, or db for none.
func kvAt(db *party.DB, names []goldenName) (party.KV, error) {
	if len(names) == 0 {
		return db, nil
	}
	return subAt(db, names)
}

func subAt(db *party.DB, names []goldenName) (s *party.Sublevel, err error) {
	for i, n := range names {
		o := party.SublevelOptions{Separator: n.Separator}
		if i == 0 {
			s, err = db.Sublevel(n.Name, o)
		} else {
			s, err = s.Sublevel(n.Name, o)
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

func openTemp(t *testing.T) *party.DB {
	t.Helper()
	db, err := party.Open(t.Context(), dbtest.Dir(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// asLeaderAndGuest runs test on the handle of a process that has the database
// open, and on one that reaches it through a socket.
func asLeaderAndGuest(t *testing.T, test func(t *testing.T, db *party.DB)) {
	t.Run("leader", func(t *testing.T) { test(t, openTemp(t)) })
	t.Run("guest", func(t *testing.T) {
		guest, err := party.Open(t.Context(), openTemp(t).Path(), &party.Options{Lead: party.LeadNever, Sockets: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := guest.Close(); err != nil {
				t.Error(err)
			}
		})
		if guest.Role() != party.Guest {
			t.Fatalf("role %v, want guest", guest.Role())
		}
		test(t, guest)
	})
}

func mustSub(t *testing.T, db *party.DB, names ...string) *party.Sublevel {
	t.Helper()
	path := make([]goldenName, len(names))
	for i, n := range names {
		path[i].Name = n
	}
	s, err := subAt(db, path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func hexKeys(t *testing.T, r party.Reader, o party.IteratorOptions) []string {
	t.Helper()
	keys := []string{}
	for k, err := range party.Keys(t.Context(), r, o) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, hex.EncodeToString(k))
	}
	return keys
}

func TestSublevelNamesGolden(t *testing.T) {
	for _, c := range readGolden(t).Names {
		s, err := subAt(new(party.DB), c.Names)
		if c.Error != "" {
			if !errors.Is(err, party.ErrInvalid) {
				t.Errorf("%+v: error %v, want ErrInvalid as Node has %q", c.Names, err, c.Error)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", c.Names, err)
			continue
		}
		if s.Prefix() != c.Prefix {
			t.Errorf("%+v: prefix %q, want %q", c.Names, s.Prefix(), c.Prefix)
		}
	}
}

func TestSublevelInvalid(t *testing.T) {
	for _, c := range []party.SublevelOptions{{Separator: "ab"}, {Separator: "é"}, {Separator: "\x7f"}, {Separator: "\xff"}} {
		if s, err := new(party.DB).Sublevel("a", c); !errors.Is(err, party.ErrInvalid) || !strings.HasPrefix(err.Error(), "party: ") {
			t.Errorf("%+v: %v, %v; want ErrInvalid", c, s, err)
		}
	}
}

func TestSublevelRange(t *testing.T) {
	s := mustSub(t, new(party.DB), "a", "b")
	for _, c := range []struct{ in, want party.Range }{
		{party.Range{}, party.Range{GTE: []byte("!a!!b!"), LT: []byte(`!a!!b"`)}},
		{party.Range{GT: []byte{}}, party.Range{GT: []byte("!a!!b!"), LT: []byte(`!a!!b"`)}},
		{party.Range{LTE: []byte("x")}, party.Range{GTE: []byte("!a!!b!"), LTE: []byte("!a!!b!x")}},
		{
			party.Range{GT: []byte("1"), GTE: []byte("2"), LT: []byte("3"), LTE: []byte("4")},
			party.Range{GT: []byte("!a!!b!1"), GTE: []byte("!a!!b!2"), LT: []byte("!a!!b!3"), LTE: []byte("!a!!b!4")},
		},
	} {
		if got, want := fmt.Sprintf("%q", s.Range(c.in)), fmt.Sprintf("%q", c.want); got != want {
			t.Errorf("Range(%q) = %s, want %s", c.in, got, want)
		}
	}
}

// FuzzSublevelKey checks of every sublevel, and one within it, that its range
// holds its keys and no others, and that a sublevel of another name has none of
// them.
func FuzzSublevelKey(f *testing.F) {
	f.Add("a", "b", "!", "!", []byte("key"), []byte("!a!!b!key"))
	f.Add("a", "", "", "#", []byte{}, []byte(`!a"`))
	f.Add("", "~", "\x00", "|", []byte("\xff\xff"), []byte{})
	f.Fuzz(func(t *testing.T, name, inner, sep, innerSep string, key, other []byte) {
		db := new(party.DB)
		s, err := db.Sublevel(name, party.SublevelOptions{Separator: sep})
		if err != nil {
			return
		}
		checkSublevel(t, s, key, other)
		if twin, err := db.Sublevel(inner, party.SublevelOptions{Separator: sep}); err == nil && twin.Prefix() != s.Prefix() {
			if inRange(s.Range(party.Range{}), twin.Key(key)) {
				t.Errorf("%q has %q of %q", s.Prefix(), twin.Key(key), twin.Prefix())
			}
		}
		in, err := s.Sublevel(inner, party.SublevelOptions{Separator: innerSep})
		if err != nil {
			return
		}
		checkSublevel(t, in, key, other)
		if !inRange(s.Range(party.Range{}), in.Key(key)) {
			t.Errorf("%q lacks %q", s.Prefix(), in.Key(key))
		}
	})
}

func checkSublevel(t *testing.T, s *party.Sublevel, key, other []byte) {
	t.Helper()
	all := s.Range(party.Range{})
	full := s.Key(key)
	if back, ok := bytes.CutPrefix(full, []byte(s.Prefix())); !ok || !bytes.Equal(back, key) {
		t.Errorf("key %q of %q is %q", key, s.Prefix(), full)
	}
	if !inRange(all, full) {
		t.Errorf("%q lacks %q", s.Prefix(), full)
	}
	if got, want := inRange(all, other), bytes.HasPrefix(other, []byte(s.Prefix())); got != want {
		t.Errorf("%q has %q: %v, want %v", s.Prefix(), other, got, want)
	}
	for _, r := range []party.Range{{GT: other}, {GTE: other}, {LT: other}, {LTE: other}, {GTE: key, LTE: other}} {
		full := s.Range(r)
		for _, k := range [][]byte{key, other} {
			if got, want := inRange(full, s.Key(k)), inRange(r, k); got != want {
				t.Errorf("%q: %q within %q: %v, want %v", s.Prefix(), k, r, got, want)
			}
		}
		if inRange(full, other) && !inRange(all, other) {
			t.Errorf("%q: %q holds %q of others", s.Prefix(), full, other)
		}
	}
}

func inRange(r party.Range, key []byte) bool {
	return (r.GT == nil || bytes.Compare(key, r.GT) > 0) && (r.GTE == nil || bytes.Compare(key, r.GTE) >= 0) &&
		(r.LT == nil || bytes.Compare(key, r.LT) < 0) && (r.LTE == nil || bytes.Compare(key, r.LTE) <= 0)
}

// TestSublevelGolden makes Node's database, in its sublevels, and compares what
// is stored and read.
func TestSublevelGolden(t *testing.T) {
	asLeaderAndGuest(t, testSublevelGolden)
}

func testSublevelGolden(t *testing.T, db *party.DB) {
	g := readGolden(t)
	var want []string
	for _, e := range g.Entries {
		want = append(want, e.Stored+" "+e.Value)
		kv, err := kvAt(db, e.Names)
		if err != nil {
			t.Fatal(err)
		}
		if err := kv.Put(t.Context(), unhex(t, e.Key), []byte(e.Value)); err != nil {
			t.Fatal(err)
		}
		if v, err := kv.Get(t.Context(), unhex(t, e.Key)); err != nil || string(v) != e.Value {
			t.Errorf("%+v %s: %q, %v; want %q", e.Names, e.Key, v, err, e.Value)
		}
	}
	var got []string
	for e, err := range party.All(t.Context(), db, party.IteratorOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%x %s", e.Key, e.Value))
	}
	if !slices.Equal(got, want) {
		t.Errorf("stored:\n%q\nwant\n%q", got, want)
	}

	snap, err := db.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	for _, c := range g.Reads {
		s, err := subAt(db, c.Names)
		if err != nil {
			t.Fatal(err)
		}
		o := party.IteratorOptions{Range: c.Range.bytes(t), Reverse: c.Range.Reverse, Limit: c.Range.Limit}
		for _, r := range []party.Reader{s, s.At(snap)} {
			if got := hexKeys(t, r, o); !slices.Equal(got, c.Keys) {
				t.Errorf("%T %q %+v: keys %q, want %q", r, s.Prefix(), o, got, c.Keys)
			}
		}
	}
}

func TestSublevelClearGolden(t *testing.T) {
	asLeaderAndGuest(t, testSublevelClearGolden)
}

func testSublevelClearGolden(t *testing.T, db *party.DB) {
	g := readGolden(t)
	var fill party.Batch
	for _, e := range g.Entries {
		fill.Put(unhex(t, e.Stored), []byte(e.Value))
	}
	for _, c := range g.Clears {
		if err := db.Write(t.Context(), &fill); err != nil {
			t.Fatal(err)
		}
		s, err := subAt(db, c.Names)
		if err != nil {
			t.Fatal(err)
		}
		o := party.ClearOptions{Range: c.Range.bytes(t), Limit: c.Range.Limit, Reverse: c.Range.Reverse}
		if err := s.Clear(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if got := hexKeys(t, db, party.IteratorOptions{}); !slices.Equal(got, c.Left) {
			t.Errorf("%q %+v: left\n%q, want\n%q", s.Prefix(), o, got, c.Left)
		}
	}
}

// TestSublevelUpperBound has the one key that abstract-level takes for the
// empty key of a sublevel. It is another's.
func TestSublevelUpperBound(t *testing.T) {
	db := openTemp(t)
	s := mustSub(t, db, "a")
	put(t, db, `!a"`, "not a's")
	put(t, s, "1", "a's")
	if got := entries(t, s, party.IteratorOptions{}); !slices.Equal(got, []string{"1=a's"}) {
		t.Errorf("entries %q", got)
	}
	if err := s.Clear(t.Context(), party.ClearOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := entries(t, db, party.IteratorOptions{}); !slices.Equal(got, []string{`!a"=not a's`}) {
		t.Errorf("after Clear: %q", got)
	}
}

func put(t *testing.T, kv party.KV, key, value string) {
	t.Helper()
	if err := kv.Put(t.Context(), []byte(key), []byte(value)); err != nil {
		t.Fatal(err)
	}
}

func entries(t *testing.T, r party.Reader, o party.IteratorOptions) (list []string) {
	t.Helper()
	for e, err := range party.All(t.Context(), r, o) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(e.Key)+"="+string(e.Value))
	}
	return list
}

func TestSublevelKV(t *testing.T) {
	asLeaderAndGuest(t, testSublevelKV)
}

func testSublevelKV(t *testing.T, db *party.DB) {
	ctx := t.Context()
	a, b := mustSub(t, db, "a"), mustSub(t, db, "b")
	put(t, db, "k", "root")
	put(t, a, "k", "in a")
	put(t, a, "empty", "")

	if v, err := a.Get(ctx, []byte("k")); err != nil || string(v) != "in a" {
		t.Errorf("Get = %q, %v", v, err)
	}
	if v, err := b.Get(ctx, []byte("k")); !errors.Is(err, party.ErrNotFound) {
		t.Errorf("Get in another sublevel = %q, %v; want ErrNotFound", v, err)
	}
	if ok, err := a.Has(ctx, []byte("k")); err != nil || !ok {
		t.Errorf("Has = %v, %v", ok, err)
	}
	if ok, err := b.Has(ctx, []byte("k")); err != nil || ok {
		t.Errorf("Has in another sublevel = %v, %v", ok, err)
	}
	vs, err := a.GetMany(ctx, [][]byte{[]byte("none"), []byte("k"), []byte("empty")})
	if err != nil || len(vs) != 3 || vs[0] != nil || string(vs[1]) != "in a" || vs[2] == nil || len(vs[2]) != 0 {
		t.Errorf("GetMany = %q, %v", vs, err)
	}

	var batch party.Batch
	batch.Put([]byte("1"), []byte("one"))
	batch.Delete([]byte("k"))
	batch.Put([]byte(""), []byte("zero"))
	if err := a.Write(ctx, &batch); err != nil {
		t.Fatal(err)
	}
	if batch.Len() != 3 {
		t.Errorf("Write changed the batch: %d operations", batch.Len())
	}
	if err := b.Write(ctx, &batch); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(ctx, []byte("1")); err != nil {
		t.Fatal(err)
	}
	var mixed party.Batch
	mixed.Put(a.Key([]byte("2")), []byte("two"))
	mixed.Put(b.Key([]byte("3")), []byte("three"))
	mixed.Delete(a.Key([]byte("empty")))
	if err := a.DB().Write(ctx, &mixed); err != nil {
		t.Fatal(err)
	}
	want := []string{"!a!=zero", "!a!1=one", "!a!2=two", "!b!=zero", "!b!3=three", "k=root"}
	if got := entries(t, db, party.IteratorOptions{}); !slices.Equal(got, want) {
		t.Errorf("database %q, want %q", got, want)
	}
}

func TestSublevelIterator(t *testing.T) {
	asLeaderAndGuest(t, testSublevelIterator)
}

func testSublevelIterator(t *testing.T, db *party.DB) {
	s := mustSub(t, db, "a")
	for _, key := range []string{"!a", "!a ", `!a"`, "!b!0", "0", "~"} {
		put(t, db, key, "not a's")
	}
	for _, key := range []string{"", "1", "2", "\xff"} {
		put(t, s, key, key)
	}
	it := s.Iterator(t.Context(), party.IteratorOptions{})
	defer it.Close()
	for _, step := range []struct {
		name string
		move func() bool
		want string // "none": no entry
	}{
		{"First", it.First, ""},
		{"Prev", it.Prev, "none"},
		{"Last", it.Last, "\xff"},
		{"Next", it.Next, "none"},
		{"Seek 1", func() bool { return it.Seek([]byte("1")) }, "1"},
		{"Next", it.Next, "2"},
		{"Prev", it.Prev, "1"},
		{"Seek 11", func() bool { return it.Seek([]byte("11")) }, "2"},
		{"Seek empty", func() bool { return it.Seek([]byte{}) }, ""},
		{"Seek behind", func() bool { return it.Seek([]byte("\xff\xff")) }, "none"},
	} {
		got := "none"
		if step.move() {
			got = string(it.Key())
			if string(it.Value()) != got {
				t.Errorf("%s: key %q has value %q", step.name, got, it.Value())
			}
		}
		if got != step.want || it.Err() != nil {
			t.Errorf("%s: %q, %v; want %q", step.name, got, it.Err(), step.want)
		}
	}

	down := s.Iterator(t.Context(), party.IteratorOptions{Reverse: true})
	defer down.Close()
	for _, c := range [][2]string{{"11", "1"}, {"2", "2"}, {"", ""}, {"\xff\xff", "\xff"}} {
		if !down.Seek([]byte(c[0])) || string(down.Key()) != c[1] {
			t.Errorf("Seek %q in reverse: %q, %v; want %q", c[0], down.Key(), down.Err(), c[1])
		}
	}
	if !down.Last() || len(down.Key()) != 0 || down.Next() {
		t.Errorf("the end in reverse: %q, %v", down.Key(), down.Err())
	}
}

func TestSublevelAt(t *testing.T) {
	asLeaderAndGuest(t, testSublevelAt)
}

func testSublevelAt(t *testing.T, db *party.DB) {
	ctx := t.Context()
	s := mustSub(t, db, "a", "b")
	put(t, s, "1", "old")
	snap, err := db.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	put(t, s, "1", "new")
	put(t, s, "2", "new")

	r := s.At(snap)
	if v, err := r.Get(ctx, []byte("1")); err != nil || string(v) != "old" {
		t.Errorf("Get = %q, %v", v, err)
	}
	if ok, err := r.Has(ctx, []byte("2")); err != nil || ok {
		t.Errorf("Has = %v, %v", ok, err)
	}
	if vs, err := r.GetMany(ctx, [][]byte{[]byte("1"), []byte("2")}); err != nil || string(vs[0]) != "old" || vs[1] != nil {
		t.Errorf("GetMany = %q, %v", vs, err)
	}
	if got := entries(t, r, party.IteratorOptions{}); !slices.Equal(got, []string{"1=old"}) {
		t.Errorf("entries %q", got)
	}
	if got := entries(t, s, party.IteratorOptions{}); !slices.Equal(got, []string{"1=new", "2=new"}) {
		t.Errorf("entries now %q", got)
	}
}
