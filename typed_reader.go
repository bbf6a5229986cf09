package party

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// TypedReader reads keys of type K and values of type V. It is the reading half
// of Typed, and what Typed.At returns. Safe for concurrent use.
//
// Stored bytes that a codec cannot decode are ErrCorrupted, with the key; a key
// or value that it cannot encode is ErrInvalid.
type TypedReader[K, V any] struct {
	r      Reader // nil: reads fail
	keys   Codec[K]
	values Codec[V]
}

// RangeOf selects entries by keys of type K, as IteratorOptions does by bytes.
// The zero RangeOf, and nil, select all. A bound is set with new:
//
//	RangeOf[string]{GTE: new("a"), LT: new("b")}
//
// The order is that of the encoded keys.
type RangeOf[K any] struct {
	GT, GTE *K // lower bound, exclusive or inclusive
	LT, LTE *K // upper bound, exclusive or inclusive
	// Reverse goes from the greatest key to the smallest.
	Reverse bool
	// Limit is the most entries selected. 0: no limit.
	Limit int
}

// EntryOf is a key with its value.
type EntryOf[K, V any] struct {
	Key   K
	Value V
}

// Get returns the value of key; a missing key is ErrNotFound.
func (t *TypedReader[K, V]) Get(ctx context.Context, key K) (V, error) {
	var zero V
	k, err := t.key(key)
	if err != nil {
		return zero, err
	}
	data, err := t.r.Get(ctx, k)
	if err != nil {
		return zero, err
	}
	return t.decodeValue(k, data)
}

// Has reports whether key exists.
func (t *TypedReader[K, V]) Has(ctx context.Context, key K) (bool, error) {
	k, err := t.key(key)
	if err != nil {
		return false, err
	}
	return t.r.Has(ctx, k)
}

// GetMany returns the values of keys, in their order, from one state of the
// database. The value of a missing key is nil.
func (t *TypedReader[K, V]) GetMany(ctx context.Context, keys []K) ([]*V, error) {
	ks := make([][]byte, len(keys))
	for i, key := range keys {
		var err error
		if ks[i], err = t.key(key); err != nil {
			return nil, err
		}
	}
	if t.r == nil { // not noticed above, if there are no keys
		return nil, errNoSnapshot
	}
	data, err := t.r.GetMany(ctx, ks)
	if err != nil {
		return nil, err
	}
	values := make([]*V, len(data))
	for i, d := range data {
		if d == nil {
			continue
		}
		v, err := t.decodeValue(ks[i], d)
		if err != nil {
			return nil, err
		}
		values[i] = &v
	}
	return values, nil
}

// All visits the entries that r selects, in the order of their keys, for use
// with range. An entry that cannot be decoded comes with its error, and with
// its key if that much can be; the loop may go on behind it. Any other error is
// the loop's last pair.
func (t *TypedReader[K, V]) All(ctx context.Context, r *RangeOf[K]) iter.Seq2[EntryOf[K, V], error] {
	return visitTyped(ctx, t, r, false, func(it *Iterator) (e EntryOf[K, V], err error) {
		if e.Key, err = t.decodeKey(it.Key()); err == nil {
			e.Value, err = t.decodeValue(it.Key(), it.Value())
		}
		return e, err
	})
}

// Keys visits the keys that r selects, as All does entries. No value is read or
// decoded.
func (t *TypedReader[K, V]) Keys(ctx context.Context, r *RangeOf[K]) iter.Seq2[K, error] {
	return visitTyped(ctx, t, r, true, func(it *Iterator) (K, error) { return t.decodeKey(it.Key()) })
}

func visitTyped[K, V, E any](ctx context.Context, t *TypedReader[K, V], r *RangeOf[K], noValues bool, decode func(*Iterator) (E, error)) iter.Seq2[E, error] {
	return func(yield func(E, error) bool) {
		var zero E
		o, err := t.options(r)
		if err != nil {
			yield(zero, err)
			return
		}
		o.NoValues = noValues
		it := t.r.Iterator(ctx, o)
		defer it.Close()
		for it.Next() {
			if !yield(decode(it)) {
				return
			}
		}
		if err := it.Err(); err != nil {
			yield(zero, err)
		}
	}
}

var errNoSnapshot = fmt.Errorf("%w: a typed view at a snapshot needs a DB or a Sublevel", ErrInvalid)

// options returns r in bytes, with all of its fields.
func (t *TypedReader[K, V]) options(r *RangeOf[K]) (o IteratorOptions, err error) {
	if t.r == nil {
		return o, errNoSnapshot
	}
	if r == nil {
		return o, nil
	}
	bound := func(key *K) (b []byte) {
		if key != nil && err == nil {
			b, err = t.key(*key)
		}
		return b
	}
	o.Range = Range{GT: bound(r.GT), GTE: bound(r.GTE), LT: bound(r.LT), LTE: bound(r.LTE)}
	o.Reverse, o.Limit = r.Reverse, r.Limit
	return o, err
}

// key encodes key. The result is never nil, which would be no bound in a Range.
func (t *TypedReader[K, V]) key(key K) ([]byte, error) {
	if t.r == nil {
		return nil, errNoSnapshot
	}
	b, err := t.keys.Append([]byte{}, key)
	if err != nil {
		return nil, codecError(ErrInvalid, err, fmt.Sprintf("key %v", key))
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

func (t *TypedReader[K, V]) decodeKey(key []byte) (K, error) {
	k, err := t.keys.Decode(key)
	if err != nil {
		return k, codecError(ErrCorrupted, err, fmt.Sprintf("key %q", key))
	}
	return k, nil
}

func (t *TypedReader[K, V]) decodeValue(key, value []byte) (V, error) {
	v, err := t.values.Decode(value)
	if err != nil {
		return v, codecError(ErrCorrupted, err, fmt.Sprintf("value of key %q", key))
	}
	return v, nil
}

// codecError tells where a codec's error occurred and makes it a sentinel,
// which the codecs of this package wrap and others need not.
func codecError(sentinel, err error, where string) error {
	if !errors.Is(err, sentinel) {
		err = fmt.Errorf("%w: %w", sentinel, err)
	}
	return fmt.Errorf("%w (%s)", err, where)
}
