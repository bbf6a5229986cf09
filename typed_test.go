package party_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/levelparty/party"
)

type account struct {
	Owner string `json:"owner"`
	Cents int64  `json:"cents"`
}

func TestTyped(t *testing.T) {
	asLeaderAndGuest(t, testTyped)
}

func testTyped(t *testing.T, db *party.DB) {
	ctx := t.Context()
	for _, kv := range []party.KV{db, mustSub(t, db, "in", "side")} {
		t.Run(fmt.Sprintf("%T", kv), func(t *testing.T) {
			accounts := party.NewTyped(kv, party.Int64, party.JSON[account]())
			for _, n := range []int64{3, -1, 2, -5} {
				if err := accounts.Put(ctx, n, account{"x", n}); err != nil {
					t.Fatal(err)
				}
			}
			if v, err := accounts.Get(ctx, 3); err != nil || v != (account{"x", 3}) {
				t.Errorf("Get = %+v, %v", v, err)
			}
			if v, err := accounts.Get(ctx, 4); !errors.Is(err, party.ErrNotFound) || v != (account{}) {
				t.Errorf("Get of none = %+v, %v; want ErrNotFound", v, err)
			}
			if ok, err := accounts.Has(ctx, -5); err != nil || !ok {
				t.Errorf("Has = %v, %v", ok, err)
			}
			vs, err := accounts.GetMany(ctx, []int64{2, 4, -1})
			if err != nil || len(vs) != 3 || *vs[0] != (account{"x", 2}) || vs[1] != nil || *vs[2] != (account{"x", -1}) {
				t.Errorf("GetMany = %v, %v", vs, err)
			}
			if vs, err := accounts.GetMany(ctx, nil); err != nil || len(vs) != 0 {
				t.Errorf("GetMany of no keys = %v, %v", vs, err)
			}
			if err := accounts.Delete(ctx, 2); err != nil {
				t.Fatal(err)
			}
			if ok, err := accounts.Has(ctx, 2); err != nil || ok {
				t.Errorf("Has after Delete = %v, %v", ok, err)
			}
			if got, want := typedKeys(t, &accounts.TypedReader, nil), []int64{-5, -1, 3}; !slices.Equal(got, want) {
				t.Errorf("keys %d, want %d", got, want)
			}
			if err := accounts.Clear(ctx, nil); err != nil {
				t.Fatal(err)
			}
			if got := entries(t, kv, party.IteratorOptions{}); len(got) != 0 {
				t.Errorf("after Clear: %q", got)
			}
		})
	}
}

func typedKeys[K, V any](t *testing.T, r *party.TypedReader[K, V], o *party.RangeOf[K]) (keys []K) {
	t.Helper()
	for k, err := range r.Keys(t.Context(), o) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	return keys
}

func TestTypedRange(t *testing.T) {
	asLeaderAndGuest(t, testTypedRange)
}

func testTypedRange(t *testing.T, db *party.DB) {
	ctx := t.Context()
	put(t, db, "zz", "beside")
	texts := party.NewTyped(mustSub(t, db, "texts"), party.UTF8, party.UTF8)
	fill := func() {
		for _, k := range []string{"", "a", "b", "c"} {
			if err := texts.Put(ctx, k, "value "+k); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill()
	for _, c := range []struct {
		r    *party.RangeOf[string]
		want string
	}{
		{nil, " a b c"},
		{&party.RangeOf[string]{}, " a b c"},
		{&party.RangeOf[string]{GT: new("a")}, "b c"},
		{&party.RangeOf[string]{GTE: new("a"), LT: new("c")}, "a b"},
		{&party.RangeOf[string]{LTE: new("b"), Reverse: true}, "b a "},
		{&party.RangeOf[string]{Reverse: true, Limit: 2}, "c b"},
		{&party.RangeOf[string]{GT: new("")}, "a b c"},
		{&party.RangeOf[string]{LT: new("")}, "none"},
		{&party.RangeOf[string]{LTE: new("")}, ""},
	} {
		var keys []string
		n := 0
		for e, err := range texts.All(ctx, c.r) {
			if err != nil || e.Value != "value "+e.Key {
				t.Fatalf("%+v: %+v, %v", c.r, e, err)
			}
			keys = append(keys, e.Key)
			n++
		}
		got := strings.Join(keys, " ")
		if n == 0 {
			got = "none"
		}
		if got != c.want {
			t.Errorf("%+v: %q, want %q", c.r, got, c.want)
		}
		if got := typedKeys(t, &texts.TypedReader, c.r); !slices.Equal(got, keys) {
			t.Errorf("%+v: Keys %q, want %q", c.r, got, keys)
		}

		// What All visits, Clear deletes.
		before := typedKeys(t, &texts.TypedReader, nil)
		if err := texts.Clear(ctx, c.r); err != nil {
			t.Fatal(err)
		}
		before = slices.DeleteFunc(before, func(k string) bool { return slices.Contains(keys, k) })
		if left := typedKeys(t, &texts.TypedReader, nil); !slices.Equal(left, before) {
			t.Errorf("%+v: Clear left %q, want %q", c.r, left, before)
		}
		fill()
	}
	if ok, err := db.Has(ctx, []byte("zz")); err != nil || !ok {
		t.Errorf("Clear went beyond its sublevel: %v, %v", ok, err)
	}
	for range texts.All(ctx, nil) {
		break // must close the iterator, or closing the database tells
	}
}

// TestTypedBatch needs no database: it looks at the batch.
func TestTypedBatch(t *testing.T) {
	db := new(party.DB)
	root := party.NewTyped(db, party.UTF8, party.UTF8)
	users := party.NewTyped(mustSub(t, db, "users"), party.Uint32, party.JSON[account]())
	names := party.NewTyped(mustSub(t, db, "users", "names"), party.UTF8, party.Uint32)

	var b party.Batch
	for _, err := range []error{
		users.BatchPut(&b, 7, account{"Ann", 1}),
		names.BatchPut(&b, "Ann", 7),
		names.BatchDelete(&b, "Bob"),
		root.BatchPut(&b, "changed", "yes"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	err := b.Replay(
		func(k, v []byte) { got = append(got, fmt.Sprintf("put %q %q", k, v)) },
		func(k []byte) { got = append(got, fmt.Sprintf("delete %q", k)) },
	)
	want := []string{
		`put "!users!\x00\x00\x00\a" "{\"owner\":\"Ann\",\"cents\":1}"`,
		`put "!users!!names!Ann" "\x00\x00\x00\a"`,
		`delete "!users!!names!Bob"`,
		`put "changed" "yes"`,
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("batch %q, %v; want %q", got, err, want)
	}
}

func TestTypedWriteBatch(t *testing.T) {
	asLeaderAndGuest(t, testTypedWriteBatch)
}

func testTypedWriteBatch(t *testing.T, db *party.DB) {
	ctx := t.Context()
	users := party.NewTyped(mustSub(t, db, "users"), party.Uint32, party.UTF8)
	names := party.NewTyped(mustSub(t, db, "names"), party.UTF8, party.Uint32)
	var b party.Batch
	if err := errors.Join(users.BatchPut(&b, 7, "Ann"), names.BatchPut(&b, "Ann", 7)); err != nil {
		t.Fatal(err)
	}
	if err := db.Write(ctx, &b); err != nil {
		t.Fatal(err)
	}
	if v, err := users.Get(ctx, 7); err != nil || v != "Ann" {
		t.Errorf("users: %q, %v", v, err)
	}
	if v, err := names.Get(ctx, "Ann"); err != nil || v != 7 {
		t.Errorf("names: %d, %v", v, err)
	}
}

// wrapped is a KV of which a view cannot know where its keys are.
type wrapped struct{ party.KV }

func TestTypedInvalid(t *testing.T) {
	ctx := t.Context()
	// Nothing here may reach the database.
	v := party.NewTyped(new(party.DB), party.Hex, party.JSON[any]())
	var b party.Batch
	_, getErr := v.Get(ctx, "xyz")
	_, hasErr := v.Has(ctx, "xyz")
	_, manyErr := v.GetMany(ctx, []string{"00", "xyz"})
	var allErr, keysErr error
	for _, allErr = range v.All(ctx, &party.RangeOf[string]{GTE: new("xyz")}) {
	}
	for _, keysErr = range v.Keys(ctx, &party.RangeOf[string]{LT: new("xyz")}) {
	}
	for name, err := range map[string]error{
		"Get": getErr, "Has": hasErr, "GetMany": manyErr, "All": allErr, "Keys": keysErr,
		"Put":         v.Put(ctx, "xyz", 1),
		"Delete":      v.Delete(ctx, "xyz"),
		"Clear":       v.Clear(ctx, &party.RangeOf[string]{LTE: new("00"), GTE: new("xyz")}),
		"BatchPut":    v.BatchPut(&b, "xyz", 1),
		"BatchDelete": v.BatchDelete(&b, "xyz"),
	} {
		if !errors.Is(err, party.ErrInvalid) || !strings.Contains(err.Error(), "key xyz") {
			t.Errorf("%s with a bad key: %v; want ErrInvalid with the key", name, err)
		}
	}
	for name, err := range map[string]error{
		"Put":      v.Put(ctx, "61", func() {}),
		"BatchPut": v.BatchPut(&b, "61", func() {}),
	} {
		if !errors.Is(err, party.ErrInvalid) || !strings.Contains(err.Error(), `key "a"`) {
			t.Errorf("%s with a bad value: %v; want ErrInvalid with the key", name, err)
		}
	}

	w := party.NewTyped[string, any](wrapped{new(party.DB)}, party.Hex, party.JSON[any]())
	at := w.At(new(party.Snapshot))
	_, getErr = at.Get(ctx, "00")
	_, hasErr = at.Has(ctx, "00")
	_, manyErr = at.GetMany(ctx, nil)
	for _, allErr = range at.All(ctx, nil) {
	}
	for name, err := range map[string]error{
		"BatchPut": w.BatchPut(&b, "00", 1), "BatchDelete": w.BatchDelete(&b, "00"),
		"At.Get": getErr, "At.Has": hasErr, "At.GetMany": manyErr, "At.All": allErr,
	} {
		if !errors.Is(err, party.ErrInvalid) {
			t.Errorf("%s of a wrapped KV: %v; want ErrInvalid", name, err)
		}
	}
	if b.Len() != 0 {
		t.Errorf("%d operations in the batch after errors", b.Len())
	}
}

// even is a codec whose errors are none of party's, and which returns nil for
// the zero value.
type even struct{}

var errOdd = errors.New("odd")

func (even) Append(dst []byte, v uint64) ([]byte, error) {
	if v%2 != 0 {
		return nil, errOdd
	}
	if v == 0 {
		return nil, nil
	}
	return binary.AppendUvarint(dst, v), nil
}

func (even) Decode(data []byte) (uint64, error) {
	v, _ := binary.Uvarint(data)
	if v%2 != 0 {
		return 0, errOdd
	}
	return v, nil
}

func TestTypedUserCodec(t *testing.T) {
	db, ctx := openTemp(t), t.Context()
	evens := party.NewTyped(mustSub(t, db, "evens"), even{}, even{})
	if err := errors.Join(evens.Put(ctx, 0, 0), evens.Put(ctx, 4, 2)); err != nil {
		t.Fatal(err)
	}
	if got := typedKeys(t, &evens.TypedReader, &party.RangeOf[uint64]{GT: new(uint64(0))}); !slices.Equal(got, []uint64{4}) {
		t.Errorf("keys above 0: %d", got)
	}
	if err := evens.Put(ctx, 1, 0); !errors.Is(err, party.ErrInvalid) || !errors.Is(err, errOdd) {
		t.Errorf("Put of an odd key: %v; want ErrInvalid and the codec's error", err)
	}
}

func TestTypedCorrupted(t *testing.T) {
	asLeaderAndGuest(t, testTypedCorrupted)
}

func testTypedCorrupted(t *testing.T, db *party.DB) {
	ctx := t.Context()
	s := mustSub(t, db, "numbers")
	put(t, s, "\x00\x00\x00\x01", "1")
	put(t, s, "\x00\x00\x00\x02", "{")
	put(t, s, "bad", "3")
	put(t, s, "\xff\xff\xff\xff", "4")
	numbers := party.NewTyped(s, party.Uint32, party.JSON[int]())

	isDamage := func(err error, key string) bool {
		return errors.Is(err, party.ErrCorrupted) && strings.HasPrefix(err.Error(), "party: ") && strings.Contains(err.Error(), key)
	}
	const two = `\x00\x00\x00\x02`
	if v, err := numbers.Get(ctx, 2); !isDamage(err, two) {
		t.Errorf("Get = %d, %v; want ErrCorrupted", v, err)
	}
	if vs, err := numbers.GetMany(ctx, []uint32{1, 2}); !isDamage(err, two) {
		t.Errorf("GetMany = %v, %v; want ErrCorrupted", vs, err)
	}
	var got []string
	for e, err := range numbers.All(ctx, nil) {
		switch {
		case err == nil:
			got = append(got, fmt.Sprint(e.Key, "=", e.Value))
		case isDamage(err, two):
			got = append(got, fmt.Sprint(e.Key, " value"))
		case isDamage(err, `"bad"`):
			got = append(got, "key")
		default:
			t.Error(err)
		}
	}
	if want := []string{"1=1", "2 value", "key", "4294967295=4"}; !slices.Equal(got, want) {
		t.Errorf("All: %q, want %q", got, want)
	}
	n := 0
	for _, err := range numbers.Keys(ctx, nil) {
		if n++; err != nil && !isDamage(err, `"bad"`) {
			t.Error(err)
		}
	}
	if n != 4 {
		t.Errorf("Keys: %d, want 4", n)
	}
	if err := numbers.Clear(ctx, nil); err != nil { // decodes nothing
		t.Errorf("Clear: %v", err)
	}
}

func TestTypedAt(t *testing.T) {
	asLeaderAndGuest(t, testTypedAt)
}

func testTypedAt(t *testing.T, db *party.DB) {
	ctx := t.Context()
	for _, kv := range []party.KV{db, mustSub(t, db, "a")} {
		v := party.NewTyped(kv, party.UTF8, party.UTF8)
		if err := v.Put(ctx, "z", "old"); err != nil {
			t.Fatal(err)
		}
		snap, err := db.Snapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Put(ctx, "z", "new"); err != nil {
			t.Fatal(err)
		}
		at := v.At(snap)
		if s, err := at.Get(ctx, "z"); err != nil || s != "old" {
			t.Errorf("%T: Get = %q, %v", kv, s, err)
		}
		for e, err := range at.All(ctx, nil) {
			if err != nil || e != (party.EntryOf[string, string]{"z", "old"}) {
				t.Errorf("%T: %+v, %v", kv, e, err)
			}
		}
		if s, err := v.Get(ctx, "z"); err != nil || s != "new" {
			t.Errorf("%T: Get now = %q, %v", kv, s, err)
		}
		if err := snap.Close(); err != nil {
			t.Error(err)
		}
	}
}
