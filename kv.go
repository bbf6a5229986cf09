package party

import (
	"context"
	"iter"
)

// Reader is what can be read from: a DB, a Snapshot or a Sublevel.
type Reader interface {
	// Get returns the value of key; a missing key is ErrNotFound. The slice
	// belongs to the caller.
	Get(ctx context.Context, key []byte) ([]byte, error)
	// Has reports whether key exists.
	Has(ctx context.Context, key []byte) (bool, error)
	// GetMany returns the values of keys, in their order, from one state of the
	// database. The value of a missing key is nil; an empty one is not.
	GetMany(ctx context.Context, keys [][]byte) ([][]byte, error)
	// Iterator visits keys and values in key order. It must be closed.
	Iterator(ctx context.Context, o IteratorOptions) *Iterator
}

// KV is what can be read and written: a DB or a Sublevel.
type KV interface {
	Reader
	// Put sets the value of key.
	Put(ctx context.Context, key, value []byte, o ...WriteOptions) error
	// Delete removes key. A missing key is no error.
	Delete(ctx context.Context, key []byte, o ...WriteOptions) error
	// Write applies b atomically.
	Write(ctx context.Context, b *Batch, o ...WriteOptions) error
	// Clear deletes a range of keys. It is not atomic: it deletes chunk by
	// chunk, and what others put meanwhile may be deleted or not.
	Clear(ctx context.Context, o ClearOptions) error
}

// Entry is a key with its value.
type Entry struct {
	Key, Value []byte
}

// All visits the entries of r that o selects, for use with range. An error ends
// the loop as its last pair. Key and value are the loop body's to keep.
func All(ctx context.Context, r Reader, o IteratorOptions) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		it := r.Iterator(ctx, o)
		defer it.Close()
		for it.Next() {
			e := Entry{Key: clone(it.Key()), Value: clone(it.Value())}
			if !yield(e, nil) {
				return
			}
		}
		if err := it.Err(); err != nil {
			yield(Entry{}, err)
		}
	}
}

// Keys visits the keys that o selects, as All does entries.
func Keys(ctx context.Context, r Reader, o IteratorOptions) iter.Seq2[[]byte, error] {
	o.NoValues = true
	return visit(ctx, r, o, (*Iterator).Key)
}

// Values visits the values that o selects, as All does entries.
func Values(ctx context.Context, r Reader, o IteratorOptions) iter.Seq2[[]byte, error] {
	o.NoKeys = true
	return visit(ctx, r, o, (*Iterator).Value)
}

func visit(ctx context.Context, r Reader, o IteratorOptions, part func(*Iterator) []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		it := r.Iterator(ctx, o)
		defer it.Close()
		for it.Next() {
			if !yield(clone(part(it)), nil) {
				return
			}
		}
		if err := it.Err(); err != nil {
			yield(nil, err)
		}
	}
}

func clone(b []byte) []byte { return append([]byte{}, b...) }
