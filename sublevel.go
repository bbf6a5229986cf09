package party

import (
	"context"
	"fmt"
	"strings"
)

// Sublevel is a part of a database with keys of its own: a KV whose keys carry
// a prefix in the database. The prefix is that of Node's level packages, as
// db.sublevel(name) of abstract-level 1 and later makes it:
//
//	prefix := parent's prefix, separator, name, separator
//
// so that the key "k" of the sublevel "users" is "!users!k" in the database,
// and in a sublevel "eu" of it "!users!!eu!k". A sublevel sees the keys of the
// sublevels within it, as the database sees those of all.
//
// A Sublevel holds nothing open, costs little to make and need not be closed.
// Safe for concurrent use.
type Sublevel struct {
	db     *DB
	prefix string // of the keys in db, that of all parents included
	upper  string // the smallest key greater than all with the prefix
}

// SublevelOptions are the options of one sublevel.
type SublevelOptions struct {
	// Separator stands before and after the name: one ASCII character that
	// sorts before those of the name. Default "!".
	Separator string
}

// Sublevel returns the part of the database called name. Separators at the
// name's ends are dropped; what is left may be empty and may use the ASCII
// characters that sort behind the one after the separator, up to "~": with the
// default separator all but space, "!" and quotation mark. Another name or
// separator is ErrInvalid.
func (db *DB) Sublevel(name string, o ...SublevelOptions) (*Sublevel, error) {
	return newSublevel(db, "", name, o)
}

// Sublevel returns the part of s called name, as DB.Sublevel does. Its
// separator need not be that of s.
func (s *Sublevel) Sublevel(name string, o ...SublevelOptions) (*Sublevel, error) {
	return newSublevel(s.db, s.prefix, name, o)
}

func newSublevel(db *DB, parent, name string, o []SublevelOptions) (*Sublevel, error) {
	sep := "!"
	for _, o := range o {
		if o.Separator != "" {
			sep = o.Separator
		}
	}
	if len(sep) != 1 || sep[0] >= 0x7f {
		return nil, fmt.Errorf("%w: sublevel %q: separator %q is not one ASCII character before DEL", ErrInvalid, name, sep)
	}
	// The character after the separator ends the sublevel's range, so no name
	// may begin with it: keys sort as !a!, !a!!b!, !a", !aa!.
	after := sep[0] + 1
	name = strings.Trim(name, sep)
	for i := range len(name) {
		if c := name[i]; c <= after || c >= 0x7f {
			return nil, fmt.Errorf("%w: sublevel %q: name has %q, want bytes > %#x and < 0x7f", ErrInvalid, name, c, after)
		}
	}
	outer := parent + sep + name
	return &Sublevel{db: db, prefix: outer + sep, upper: outer + string(rune(after))}, nil
}

// DB returns the database that the sublevel is part of.
func (s *Sublevel) DB() *DB { return s.db }

// Prefix returns what the sublevel's keys begin with in the database.
func (s *Sublevel) Prefix() string { return s.prefix }

// Key returns the key that key has in the database. It is for batches that are
// written to the DB, where one may hold operations of several sublevels:
//
//	b.Put(users.Key(id), user)
//	b.Put(byName.Key(name), id)
//	err := db.Write(ctx, &b)
func (s *Sublevel) Key(key []byte) []byte {
	full := make([]byte, 0, len(s.prefix)+len(key))
	return append(append(full, s.prefix...), key...)
}

// Range returns the range that r has in the database. Range(Range{}) is the
// whole sublevel, for DB.CompactRange and the like.
func (s *Sublevel) Range(r Range) Range {
	bound := func(key []byte) []byte {
		if key == nil {
			return nil
		}
		return s.Key(key)
	}
	full := Range{GT: bound(r.GT), GTE: bound(r.GTE), LT: bound(r.LT), LTE: bound(r.LTE)}
	if full.GT == nil && full.GTE == nil {
		full.GTE = []byte(s.prefix)
	}
	if full.LT == nil && full.LTE == nil {
		// Exclusive: abstract-level includes upper, and shows that key, which is
		// not the sublevel's, as the empty one.
		full.LT = []byte(s.upper)
	}
	return full
}

func (s *Sublevel) keys(keys [][]byte) [][]byte {
	full := make([][]byte, len(keys))
	for i, key := range keys {
		full[i] = s.Key(key)
	}
	return full
}

// Get implements Reader.
func (s *Sublevel) Get(ctx context.Context, key []byte) ([]byte, error) {
	return s.db.Get(ctx, s.Key(key))
}

// Has implements Reader.
func (s *Sublevel) Has(ctx context.Context, key []byte) (bool, error) {
	return s.db.Has(ctx, s.Key(key))
}

// GetMany implements Reader.
func (s *Sublevel) GetMany(ctx context.Context, keys [][]byte) ([][]byte, error) {
	return s.db.GetMany(ctx, s.keys(keys))
}

// Iterator implements Reader. Keys are seen, and sought, without the prefix.
func (s *Sublevel) Iterator(ctx context.Context, o IteratorOptions) *Iterator {
	return s.iterator(ctx, o, nil)
}

func (s *Sublevel) iterator(ctx context.Context, o IteratorOptions, snap *Snapshot) *Iterator {
	o.Range = s.Range(o.Range)
	return s.db.newIterator(ctx, o, snap, []byte(s.prefix))
}

// Put implements KV.
func (s *Sublevel) Put(ctx context.Context, key, value []byte, o ...WriteOptions) error {
	return s.db.Put(ctx, s.Key(key), value, o...)
}

// Delete implements KV.
func (s *Sublevel) Delete(ctx context.Context, key []byte, o ...WriteOptions) error {
	return s.db.Delete(ctx, s.Key(key), o...)
}

// Write applies b atomically, all its keys being keys of the sublevel. A batch
// whose keys were made by Key is for DB.Write.
func (s *Sublevel) Write(ctx context.Context, b *Batch, o ...WriteOptions) error {
	var full Batch
	key := []byte(s.prefix) // grows; Batch copies
	err := b.Replay(
		func(k, v []byte) {
			key = append(key[:len(s.prefix)], k...)
			full.Put(key, v)
		},
		func(k []byte) {
			key = append(key[:len(s.prefix)], k...)
			full.Delete(key)
		},
	)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, &full, o...)
}

// Clear implements KV. It deletes keys of the sublevel, and so of those within
// it, and no others.
func (s *Sublevel) Clear(ctx context.Context, o ClearOptions) error {
	o.Range = s.Range(o.Range)
	return s.db.Clear(ctx, o)
}

// At returns the sublevel as it was when snap, a snapshot of its DB, was taken.
// It can be read until snap is closed.
func (s *Sublevel) At(snap *Snapshot) Reader { return sublevelAt{s, snap} }

type sublevelAt struct {
	s    *Sublevel
	snap *Snapshot
}

func (r sublevelAt) Get(ctx context.Context, key []byte) ([]byte, error) {
	return r.snap.Get(ctx, r.s.Key(key))
}

func (r sublevelAt) Has(ctx context.Context, key []byte) (bool, error) {
	return r.snap.Has(ctx, r.s.Key(key))
}

func (r sublevelAt) GetMany(ctx context.Context, keys [][]byte) ([][]byte, error) {
	return r.snap.GetMany(ctx, r.s.keys(keys))
}

func (r sublevelAt) Iterator(ctx context.Context, o IteratorOptions) *Iterator {
	return r.s.iterator(ctx, o, r.snap)
}
