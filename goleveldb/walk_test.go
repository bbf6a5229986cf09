package goleveldb_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/levelparty/party/goleveldb"
	"github.com/levelparty/party/internal/partytest"
)

// Properties: with the same writes, reads through the adapter and through
// goleveldb itself return the same; and two iterators made alike, on the DB, a
// Snapshot or a Transaction, agree after every move, whatever is written
// meanwhile.
func TestRandomWalk(t *testing.T) {
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	inRoles(t, func(t *testing.T, db *goleveldb.DB) {
		// Small buffers, so that the model's entries are in tables too.
		model, err := leveldb.OpenFile(t.TempDir(), &opt.Options{WriteBuffer: 2000, CompactionTableSize: 1000})
		if err != nil {
			t.Fatal(err)
		}
		defer model.Close()
		w := &walk{T: t, Rand: partytest.Random(t), db: db, model: model}
		for range rounds {
			w.round()
		}
	})
}

type walk struct {
	*testing.T
	*rand.Rand
	db    *goleveldb.DB
	model *leveldb.DB
}

// reader and writer are what both packages' types have in common.
type reader interface {
	leveldb.Reader
	Has(key []byte, ro *opt.ReadOptions) (bool, error)
}

type writer interface {
	Put(key, value []byte, wo *opt.WriteOptions) error
	Delete(key []byte, wo *opt.WriteOptions) error
	Write(b *leveldb.Batch, wo *opt.WriteOptions) error
}

// key returns one of few keys, so that they meet, among them the empty one and
// beginnings of others.
func (w *walk) key() []byte {
	k := make([]byte, w.IntN(4))
	for i := range k {
		k[i] = []byte{0, 'a', 'b', 0xff}[w.IntN(4)]
	}
	return k
}

func (w *walk) slice() *util.Range {
	if w.IntN(3) == 0 {
		return nil
	}
	r := new(util.Range)
	if w.IntN(3) > 0 {
		r.Start = w.key()
	}
	if w.IntN(3) > 0 {
		r.Limit = w.key()
	}
	return r
}

func (w *walk) write(ours, theirs writer) {
	w.Helper()
	switch w.IntN(4) {
	case 0:
		k := w.key()
		w.same("delete", ours.Delete(k, nil), theirs.Delete(k, nil))
	case 1:
		var b leveldb.Batch
		for range w.IntN(20) {
			if w.IntN(3) == 0 {
				b.Delete(w.key())
			} else {
				b.Put(w.key(), fmt.Append(nil, w.IntN(1000)))
			}
		}
		w.same("write", ours.Write(&b, nil), theirs.Write(&b, nil))
	default:
		k, v := w.key(), bytes.Repeat([]byte{'v'}, w.IntN(50))
		w.same("put", ours.Put(k, v, nil), theirs.Put(k, v, nil))
	}
}

func (w *walk) same(what string, ours, theirs error) {
	w.Helper()
	if ours != theirs {
		w.Fatalf("%s: error %v, goleveldb has %v", what, ours, theirs)
	}
}

func (w *walk) round() {
	for range w.IntN(40) {
		w.write(w.db, w.model)
	}
	var ours, theirs reader = w.db, w.model
	var oursW, theirsW writer = w.db, w.model
	switch w.IntN(3) {
	case 0:
		a, err := w.db.GetSnapshot()
		b, err2 := w.model.GetSnapshot()
		if err = errors.Join(err, err2); err != nil {
			w.Fatal(err)
		}
		defer a.Release()
		defer b.Release()
		ours, theirs = a, b
	case 1:
		a, err := w.db.OpenTransaction()
		b, err2 := w.model.OpenTransaction()
		if err = errors.Join(err, err2); err != nil {
			w.Fatal(err)
		}
		ours, theirs, oursW, theirsW = a, b, a, b
		for range w.IntN(20) {
			w.write(a, b)
		}
		if w.IntN(3) > 0 {
			defer func() { w.same("commit", a.Commit(), b.Commit()) }()
		} else {
			defer b.Discard()
			defer a.Discard()
		}
	}
	for range 20 {
		w.get(ours, theirs)
	}
	slice := w.slice()
	a, b := ours.NewIterator(slice, nil), theirs.NewIterator(slice, nil)
	if slice != nil && len(slice.Start) > 0 {
		slice.Start[0]++ // it was copied
	}
	for range 150 {
		w.move(a, b)
		if w.IntN(10) == 0 {
			w.write(oursW, theirsW)
		}
	}
	a.Release()
	b.Release()
	for range 3 {
		w.move(a, b)
	}
}

func (w *walk) get(ours, theirs reader) {
	w.Helper()
	k := w.key()
	v, err := ours.Get(k, nil)
	v2, err2 := theirs.Get(k, nil)
	w.same(fmt.Sprintf("get %q", k), err, err2)
	if !bytes.Equal(v, v2) {
		w.Fatalf("get %q: %q, goleveldb has %q", k, v, v2)
	}
	ok, err := ours.Has(k, nil)
	ok2, err2 := theirs.Has(k, nil)
	w.same(fmt.Sprintf("has %q", k), err, err2)
	if ok != ok2 {
		w.Fatalf("has %q: %v, goleveldb has %v", k, ok, ok2)
	}
}

// move makes the same move with both and compares where they stand.
func (w *walk) move(ours, theirs iterator.Iterator) {
	w.Helper()
	var what string
	var ok, ok2 bool
	switch n := w.IntN(40); {
	case n == 0:
		what, ok, ok2 = "first", ours.First(), theirs.First()
	case n == 1:
		what, ok, ok2 = "last", ours.Last(), theirs.Last()
	case n < 6:
		k := w.key()
		what, ok, ok2 = fmt.Sprintf("seek %q", k), ours.Seek(k), theirs.Seek(k)
	case n < 23:
		what, ok, ok2 = "next", ours.Next(), theirs.Next()
	default:
		what, ok, ok2 = "prev", ours.Prev(), theirs.Prev()
	}
	type stand struct {
		OK, Valid  bool
		Key, Value string
		NoKey, Nil bool
		Err        error
	}
	at := func(it iterator.Iterator, ok bool) stand {
		return stand{ok, it.Valid(), string(it.Key()), string(it.Value()), it.Key() == nil, it.Value() == nil, it.Error()}
	}
	if got, want := at(ours, ok), at(theirs, ok2); got != want {
		w.Fatalf("%s: %+v, goleveldb has %+v", what, got, want)
	}
}
