package party

import (
	"context"
	"fmt"
)

// Typed is a view of a KV with keys of type K and values of type V. It reads as
// its TypedReader does. Views with other types may share the KV; more often
// each has a Sublevel of its own. Safe for concurrent use.
type Typed[K, V any] struct {
	TypedReader[K, V]
	kv KV
}

// NewTyped returns a view of kv, a DB or a Sublevel, through codecs.
func NewTyped[K, V any](kv KV, keys Codec[K], values Codec[V]) *Typed[K, V] {
	return &Typed[K, V]{TypedReader[K, V]{r: kv, keys: keys, values: values}, kv}
}

// Put sets the value of key.
func (t *Typed[K, V]) Put(ctx context.Context, key K, value V, o ...WriteOptions) error {
	k, v, err := t.entry(key, value)
	if err != nil {
		return err
	}
	return t.kv.Put(ctx, k, v, o...)
}

// Delete removes key. A missing key is no error.
func (t *Typed[K, V]) Delete(ctx context.Context, key K, o ...WriteOptions) error {
	k, err := t.key(key)
	if err != nil {
		return err
	}
	return t.kv.Delete(ctx, k, o...)
}

// Clear deletes what r selects, nil being all keys of the KV, as KV.Clear does:
// not atomically. Nothing is decoded.
func (t *Typed[K, V]) Clear(ctx context.Context, r *RangeOf[K], o ...WriteOptions) error {
	sel, err := t.options(r)
	if err != nil {
		return err
	}
	clear := ClearOptions{Range: sel.Range, Reverse: sel.Reverse, Limit: sel.Limit}
	for _, w := range o {
		clear.WriteOptions = w
	}
	return t.kv.Clear(ctx, clear)
}

// BatchPut adds a put to b, which is to be written with DB.Write, also if the
// view is of a Sublevel: one batch can so hold operations of several views,
// applied together. An error leaves b as it was.
func (t *Typed[K, V]) BatchPut(b *Batch, key K, value V) error {
	k, v, err := t.entry(key, value)
	if err != nil {
		return err
	}
	if k, err = t.fullKey(k); err != nil {
		return err
	}
	b.Put(k, v)
	return nil
}

// BatchDelete adds a delete to b, as BatchPut does a put.
func (t *Typed[K, V]) BatchDelete(b *Batch, key K) error {
	k, err := t.key(key)
	if err != nil {
		return err
	}
	if k, err = t.fullKey(k); err != nil {
		return err
	}
	b.Delete(k)
	return nil
}

// At returns the view as it was when snap, a snapshot of its DB, was taken. It
// can be read until snap is closed.
func (t *Typed[K, V]) At(snap *Snapshot) *TypedReader[K, V] {
	at := t.TypedReader
	switch kv := t.kv.(type) {
	case *DB:
		at.r = snap
	case *Sublevel:
		at.r = kv.At(snap)
	default:
		at.r = nil
	}
	return &at
}

func (t *Typed[K, V]) entry(key K, value V) (k, v []byte, err error) {
	if k, err = t.key(key); err != nil {
		return nil, nil, err
	}
	if v, err = t.values.Append([]byte{}, value); err != nil {
		return nil, nil, codecError(ErrInvalid, err, fmt.Sprintf("value of key %q", k))
	}
	return k, v, nil
}

// fullKey returns what key is in the database. Of a KV that is neither DB nor
// Sublevel, say one that wraps a Sublevel, that is not known: a guess would
// write to the wrong place.
func (t *Typed[K, V]) fullKey(key []byte) ([]byte, error) {
	switch kv := t.kv.(type) {
	case *DB:
		return key, nil
	case *Sublevel:
		return kv.Key(key), nil
	}
	return nil, fmt.Errorf("%w: a batch of a typed view needs a DB or a Sublevel, not a %T", ErrInvalid, t.kv)
}
