package goleveldb

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"

	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/levelparty/party"
)

// DB is a handle on a shared database, with the methods of goleveldb's DB. It
// is safe for concurrent use and must be closed.
type DB struct {
	// Constant after New.
	party *party.DB
	o     Options
	ctx   context.Context // ends with Close
	stop  context.CancelFunc

	closed    atomic.Bool
	snapshots atomic.Uint64 // taken so far

	// writing is held shared by every write under way and every open
	// transaction, and alone by SetReadOnly, which waits for them.
	writing  sync.RWMutex
	readOnly bool // guarded by writing

	mu sync.Mutex
	tr *Transaction // open, guarded by mu
}

// OpenFile opens or creates the database in the directory path, whatever other
// processes do with it. With ErrorIfMissing a missing database is
// os.ErrNotExist, with ErrorIfExist one that exists is os.ErrExist; a damaged
// one is an *errors.ErrCorrupted. PartyOptions tells what the other options
// mean.
func OpenFile(path string, o *opt.Options) (*DB, error) {
	po, err := PartyOptions(o)
	if err != nil {
		return nil, err
	}
	// Of what cannot succeed goleveldb tells why.
	hopeless := po.MustNotExist && (po.MustExist || po.ReadOnly)
	if hopeless {
		po.MustNotExist = false
	}
	p, err := party.Open(context.Background(), path, po)
	if err != nil {
		return nil, openFailure(err)
	}
	if hopeless {
		if err := p.Close(); err != nil {
			return nil, err
		}
		return nil, os.ErrExist
	}
	db := New(p, &Options{NoSync: o.GetNoSync()})
	db.readOnly = po.ReadOnly
	return db, nil
}

// New returns a DB that is another way to use p: closing it closes p. Options
// may be nil.
func New(p *party.DB, o *Options) *DB {
	db := &DB{party: p}
	if o != nil {
		db.o = *o
	}
	db.ctx, db.stop = context.WithCancel(context.Background())
	return db
}

// Party returns the handle below db, for what goleveldb has no words for. It
// is closed with db.
func (db *DB) Party() *party.DB { return db.party }

func (db *DB) ok() error {
	if db.closed.Load() {
		return ErrClosed
	}
	return nil
}

// Get returns the value of key. A missing key is ErrNotFound. The slice belongs
// to the caller.
func (db *DB) Get(key []byte, ro *opt.ReadOptions) (value []byte, err error) {
	if err := db.ok(); err != nil {
		return nil, err
	}
	value, err = db.party.Get(db.ctx, key)
	return value, db.failure(err)
}

// Has reports whether key exists.
func (db *DB) Has(key []byte, ro *opt.ReadOptions) (ret bool, err error) {
	if err := db.ok(); err != nil {
		return false, err
	}
	ret, err = db.party.Has(db.ctx, key)
	return ret, db.failure(err)
}

// Put sets the value of key.
func (db *DB) Put(key, value []byte, wo *opt.WriteOptions) error {
	return db.write(wo, func(o party.WriteOptions) error { return db.party.Put(db.ctx, key, value, o) })
}

// Delete removes key. A missing key is no error.
func (db *DB) Delete(key []byte, wo *opt.WriteOptions) error {
	return db.write(wo, func(o party.WriteOptions) error { return db.party.Delete(db.ctx, key, o) })
}

// Write applies batch: all of it or, if it fails, nothing.
func (db *DB) Write(batch *Batch, wo *opt.WriteOptions) error {
	if err := db.ok(); err != nil || batch == nil || batch.Len() == 0 {
		return err
	}
	return db.write(wo, func(o party.WriteOptions) error {
		var b party.Batch
		if err := b.SetRecords(batch.Dump()); err != nil {
			return err
		}
		return db.party.Write(db.ctx, &b, o)
	})
}

func (db *DB) write(wo *opt.WriteOptions, do func(party.WriteOptions) error) error {
	if err := db.mayWrite(); err != nil {
		return err
	}
	defer db.writing.RUnlock()
	return db.failure(do(party.WriteOptions{Sync: wo.GetSync() && !db.o.NoSync}))
}

// mayWrite returns with writing held shared, unless it fails.
func (db *DB) mayWrite() error {
	if err := db.ok(); err != nil {
		return err
	}
	db.writing.RLock()
	if db.readOnly {
		db.writing.RUnlock()
		return ErrReadOnly
	}
	return nil
}

// NewIterator returns an iterator over the present state of the database,
// within slice if that is not nil. It must be released. The package comment
// tells what becomes of it if the leader is lost; errors in making it show in
// its Error method.
func (db *DB) NewIterator(slice *util.Range, ro *opt.ReadOptions) iterator.Iterator {
	if err := db.ok(); err != nil {
		return iterator.NewEmptyIterator(err)
	}
	o := party.IteratorOptions{Range: rangeOf(slice)}
	if db.o.ResumeIterators {
		return db.newIterator(db.party.Iterator(db.ctx, o), nil)
	}
	s, err := db.state()
	switch {
	case err == nil:
		return db.newIterator(s.snap.Iterator(db.ctx, o), s)
	case errors.Is(err, party.ErrNotSupported):
		// A Node process leads. An iterator of its protocols does read one state,
		// but only the first move begins it.
		o.OneState = true
		return db.newIterator(db.party.Iterator(db.ctx, o), nil)
	}
	return iterator.NewEmptyIterator(db.failure(err))
}

// CompactRange writes the tables of r anew, without what has been deleted or
// overwritten. A nil side of r is unbounded.
func (db *DB) CompactRange(r util.Range) error {
	if err := db.mayWrite(); err != nil {
		return err
	}
	// The work is the leader's: there is nothing here that SetReadOnly would
	// have to wait for.
	db.writing.RUnlock()
	return db.failure(db.party.CompactRange(db.ctx, rangeOf(&r)))
}

// SizeOf returns how many bytes the tables of each range take, roughly. What
// was written lately is in no table yet. As in goleveldb, a nil Limit is the
// smallest key here, so that nothing is below it.
func (db *DB) SizeOf(ranges []util.Range) (Sizes, error) {
	if err := db.ok(); err != nil {
		return nil, err
	}
	sizes := make(Sizes, len(ranges))
	for i, r := range ranges {
		if r.Limit == nil {
			continue
		}
		var err error
		if sizes[i], err = db.party.ApproximateSize(db.ctx, rangeOf(&r)); err != nil {
			return nil, db.failure(err)
		}
	}
	return sizes, nil
}

// GetProperty returns a property of the leader's database. They are goleveldb's
// but for leveldb.blockpool; party.PropertyNames lists them. Another one is
// ErrNotFound.
func (db *DB) GetProperty(name string) (value string, err error) {
	if err := db.ok(); err != nil {
		return "", err
	}
	value, err = db.party.Property(db.ctx, name)
	return value, db.failure(err)
}

// SetReadOnly refuses all further writes through db with ErrReadOnly, after it
// has waited for those under way and for an open transaction. Other handles, in
// this process and others, write on.
func (db *DB) SetReadOnly() error {
	if err := db.ok(); err != nil {
		return err
	}
	db.writing.Lock()
	defer db.writing.Unlock()
	if err := db.ok(); err != nil {
		return err
	}
	if db.readOnly {
		return ErrReadOnly
	}
	db.readOnly = true
	return nil
}

// Close gives the handle up: an open transaction is discarded, calls that wait
// fail with ErrClosed, as does every call from then on, and snapshots and
// iterators end.
func (db *DB) Close() error {
	if db.closed.Swap(true) {
		return ErrClosed
	}
	db.stop()
	db.mu.Lock()
	tr := db.tr
	db.mu.Unlock()
	if tr != nil {
		tr.Discard()
	}
	return db.party.Close()
}
