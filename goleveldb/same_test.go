package goleveldb_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/levelparty/party/goleveldb"
	"github.com/levelparty/party/internal/dbtest"
)

// Property: what the methods return at the edges, when things are closed,
// released, empty or read-only, is what goleveldb's return.
func TestSameAsGoleveldb(t *testing.T) {
	openModel := func(t *testing.T) *leveldb.DB {
		db, err := leveldb.OpenFile(t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	inRoles(t, func(t *testing.T, db *goleveldb.DB) {
		compare(t, edges(db), edges(openModel(t)))
	})
	t.Run("read only", func(t *testing.T) {
		compare(t, readOnlyEdges(open(t, dbtest.Dir(t), nil)), readOnlyEdges(openModel(t)))
	})
}

func compare(t *testing.T, ours, theirs []string) {
	t.Helper()
	if len(ours) != len(theirs) {
		t.Fatalf("%d results, goleveldb has %d", len(ours), len(theirs))
	}
	for i := range ours {
		if ours[i] != theirs[i] {
			t.Errorf("%s; goleveldb: %s", ours[i], theirs[i])
		}
	}
}

// record is a list of results. Of errors it tells which one they are.
type record []string

func (r *record) add(what string, results ...any) {
	for i, v := range results {
		if err, ok := v.(error); ok {
			results[i] = nameOf(err)
		}
	}
	*r = append(*r, fmt.Sprintf("%s: %q", what, results))
}

func nameOf(err error) string {
	for name, known := range map[string]error{
		"ErrNotFound": leveldb.ErrNotFound, "ErrClosed": leveldb.ErrClosed, "ErrReadOnly": leveldb.ErrReadOnly,
		"ErrSnapshotReleased": leveldb.ErrSnapshotReleased, "ErrIterReleased": leveldb.ErrIterReleased,
		"iterator.ErrIterReleased": iterator.ErrIterReleased, "ErrExist": os.ErrExist, "ErrNotExist": os.ErrNotExist,
	} {
		if err == known {
			return name
		}
	}
	return fmt.Sprintf("%T %v", err, err)
}

func (r *record) iterator(what string, it iterator.Iterator) {
	r.add(what, it.Error(), it.Valid(), it.First(), it.Last(), it.Seek(nil), it.Next(), it.Prev(), it.Valid(),
		it.Key() == nil, it.Value() == nil, it.Error())
	it.Release()
	it.Release()
	r.add(what+", released", it.Next(), it.Error())
}

func (r *record) panics(what string, do func()) {
	defer func() { r.add(what, recover()) }()
	do()
}

func edges[S goleveldb.AnySnapshot, T goleveldb.AnyTransaction](db goleveldb.AnyDB[S, T]) []string {
	var r record
	k, v := []byte("k"), []byte("v")
	var b, bad leveldb.Batch

	r.iterator("empty database", db.NewIterator(nil, nil))
	r.add("write nil", db.Write(nil, nil))
	r.add("write empty", db.Write(&b, nil))
	r.add("load", bad.Load([]byte{7, 7}))
	b.Put(k, v)
	b.Delete([]byte("no"))
	b.Put(nil, nil)
	r.add("write", db.Write(&b, &opt.WriteOptions{Sync: true, NoWriteMerge: true}), b.Len())
	ok, err := db.Has(nil, nil)
	r.add("has", ok, err)
	_, err = db.Get([]byte("no"), nil)
	r.add("get missing", err)
	ok, err = db.Has([]byte("no"), nil)
	r.add("has missing", ok, err)
	r.add("delete missing", db.Delete([]byte("no"), nil))
	sizes, err := db.SizeOf(nil)
	r.add("size of nothing", len(sizes), err)
	sizes, err = db.SizeOf([]util.Range{{}, {Start: v, Limit: k}, {Limit: []byte{}}})
	r.add("sizes", fmt.Sprint(sizes), err)
	for _, name := range []string{"", "leveldb.", "leveldb.nothing", "leveldb.num-files-at-levelx", "stats"} {
		p, err := db.GetProperty(name)
		r.add("property "+name, p, err)
	}
	p, err := db.GetProperty("leveldb.num-files-at-level0")
	r.add("property", p, err)
	r.add("compact", db.CompactRange(util.Range{}), db.CompactRange(util.Range{Start: k, Limit: k}))

	// Iterators.
	for _, slice := range []*util.Range{
		{}, {Start: []byte{}}, {Limit: []byte{}}, {Start: []byte{}, Limit: []byte{}}, {Start: v, Limit: k}, {Start: k, Limit: k},
	} {
		r.iterator(fmt.Sprintf("slice %q", *slice), db.NewIterator(slice, nil))
	}
	it := db.NewIterator(nil, nil)
	releases := 0
	it.SetReleaser(releaser(func() { releases++ }))
	r.panics("second releaser", func() { it.SetReleaser(releaser(func() {})) })
	r.panics("no releaser", func() { it.SetReleaser(nil) })
	it.SetReleaser(releaser(func() { releases++ }))
	it.Next()
	it.Release()
	it.Release()
	r.add("releases", releases)
	r.panics("releaser after release", func() { it.SetReleaser(nil) })

	// Snapshots and their iterators.
	snap, err := db.GetSnapshot()
	r.add("snapshot", err)
	ofSnapshot := snap.NewIterator(nil, nil)
	r.add("put", db.Put(k, []byte("later"), nil))
	value, err := snap.Get(k, nil)
	r.add("get from snapshot", string(value), err)
	ok, err = snap.Has([]byte("no"), nil)
	r.add("has in snapshot", ok, err)
	snap.Release()
	snap.Release()
	r.add("iterator of a released snapshot", ofSnapshot.Last(), string(ofSnapshot.Key()), string(ofSnapshot.Value()), ofSnapshot.Error())
	ofSnapshot.Release()
	_, err = snap.Get(k, nil)
	r.add("get from released", err)
	_, err = snap.Has(k, nil)
	r.add("has in released", err)
	r.iterator("iterator of released", snap.NewIterator(nil, nil))

	// Transactions and their iterators.
	tr, err := db.OpenTransaction()
	r.add("transaction", err)
	r.add("write nil", tr.Write(nil, nil), tr.Write(new(leveldb.Batch), nil))
	r.add("change", tr.Put(k, []byte("mine"), nil), tr.Delete(nil, nil), tr.Write(&b, nil), tr.Delete(k, nil), tr.Put([]byte("l"), v, nil))
	_, err = tr.Get(k, nil)
	r.add("deleted in it", err)
	ok, err = tr.Has(nil, nil)
	r.add("put in it", ok, err)
	value, err = db.Get(k, nil)
	r.add("get beside it", string(value), err)
	ofTransaction := tr.NewIterator(&util.Range{Start: k}, nil)
	r.add("commit", tr.Commit())
	r.add("its iterator", ofTransaction.First(), string(ofTransaction.Key()), ofTransaction.Next(), ofTransaction.Prev(), ofTransaction.Error())
	ofTransaction.Release()
	value, err = db.Get([]byte("l"), nil)
	r.add("get after it", string(value), err)
	_, err = tr.Get(k, nil)
	_, err2 := tr.Has(k, nil)
	r.add("done", fmt.Sprint(err, err2, tr.Put(k, v, nil), tr.Delete(k, nil), tr.Write(&b, nil), tr.Write(nil, nil), tr.Commit(),
		tr.NewIterator(nil, nil).Error()))
	tr.Discard()

	// Close.
	snap, _ = db.GetSnapshot()
	tr, err = db.OpenTransaction()
	r.add("transaction", err, tr.Put(k, []byte("lost"), nil))
	r.add("close", db.Close())
	r.add("close again", db.Close())
	_, err = db.Get(k, nil)
	r.add("get", err)
	_, err = db.Has(k, nil)
	r.add("has", err)
	r.add("writes", db.Put(k, v, nil), db.Delete(k, nil), db.Write(&b, nil), db.Write(nil, nil))
	r.iterator("iterator", db.NewIterator(nil, nil))
	_, err = db.GetSnapshot()
	r.add("snapshot", err)
	_, err = db.OpenTransaction()
	r.add("transaction", err)
	_, err = db.SizeOf(nil)
	r.add("size", err)
	_, err = db.GetProperty("leveldb.stats")
	r.add("property", err)
	r.add("others", db.CompactRange(util.Range{}), db.Stats(new(leveldb.DBStats)), db.SetReadOnly())
	_, err = snap.Get(k, nil)
	r.add("snapshot get", err)
	_, err = snap.Has(k, nil)
	r.add("snapshot has", err)
	r.iterator("snapshot iterator", snap.NewIterator(nil, nil))
	snap.Release()
	r.add("commit", tr.Commit())
	tr.Discard()
	return r
}

type releaser func()

func (f releaser) Release() { f() }

func readOnlyEdges[S goleveldb.AnySnapshot, T goleveldb.AnyTransaction](db goleveldb.AnyDB[S, T]) []string {
	var r record
	k := []byte("k")
	var b leveldb.Batch
	b.Put(k, k)
	r.add("put", db.Put(k, k, nil))
	tr, err := db.OpenTransaction()
	r.add("transaction", err, tr.Put(k, []byte("in it"), nil))
	set := make(chan error)
	go func() { set <- db.SetReadOnly() }()
	select {
	case err := <-set:
		r.add("SetReadOnly did not wait", err)
	case <-time.After(20 * time.Millisecond):
	}
	r.add("commit", tr.Commit())
	r.add("SetReadOnly", <-set)
	value, err := db.Get(k, nil)
	r.add("get", string(value), err)
	r.add("writes", db.Put(k, k, nil), db.Delete(k, nil), db.Write(&b, nil), db.Write(nil, nil))
	_, err = db.OpenTransaction()
	r.add("transaction", err)
	r.add("compact", db.CompactRange(util.Range{}))
	r.add("SetReadOnly again", db.SetReadOnly())
	r.add("close", db.Close())
	return r
}
