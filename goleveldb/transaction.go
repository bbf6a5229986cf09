package goleveldb

import (
	"sync"

	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/levelparty/party"
)

// Transaction is a list of writes that Commit applies as one. From its opening
// to Commit or Discard nobody else writes, in any process. It reads the state
// before it under its own writes. Safe for concurrent use.
//
// The writes are kept in memory, and go to the leader with Commit.
type Transaction struct {
	// Constant after OpenTransaction.
	db     *DB
	right  *party.Exclusive
	before *state

	mu      sync.RWMutex
	pending *overlay // guarded by mu; its cursors need no lock
	done    bool     // guarded by mu
}

// OpenTransaction waits until no other transaction is open, in any process, and
// opens one. Other writes wait until it is committed or discarded; closing the
// DB discards it, as does the end of the process. If the leader is lost
// meanwhile the transaction is too: reads are party.ErrSnapshotLost and Commit
// party.ErrConnectionLost.
func (db *DB) OpenTransaction() (*Transaction, error) {
	if err := db.mayWrite(); err != nil {
		return nil, err
	}
	tr, err := db.openTransaction()
	if err != nil {
		db.writing.RUnlock()
		return nil, db.failure(err)
	}
	return tr, nil
}

func (db *DB) openTransaction() (*Transaction, error) {
	right, err := db.party.Begin(db.ctx)
	if err != nil {
		return nil, err
	}
	// Nobody writes now: this is the state before the transaction. Should the
	// leader be lost between the two it is a later one, but then the right is
	// lost as well, and Commit will fail.
	before, err := db.state()
	if err != nil {
		right.Discard()
		return nil, err
	}
	tr := &Transaction{db: db, right: right, before: before, pending: newOverlay()}
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := db.ok(); err != nil { // Close would not see it any more
		right.Discard()
		before.release()
		return nil, err
	}
	db.tr = tr
	return tr, nil
}

// finishLocked gives up what the transaction holds.
func (tr *Transaction) finishLocked() {
	tr.done = true
	tr.before.release()
	tr.pending = nil
	tr.db.mu.Lock()
	tr.db.tr = nil
	tr.db.mu.Unlock()
	tr.db.writing.RUnlock()
}

// use returns with mu held shared, unless it fails.
func (tr *Transaction) use() error {
	tr.mu.RLock()
	if tr.done {
		tr.mu.RUnlock()
		return errTransactionDone
	}
	return nil
}

// Get returns the value of key. A missing key is ErrNotFound. The slice belongs
// to the caller.
func (tr *Transaction) Get(key []byte, ro *opt.ReadOptions) ([]byte, error) {
	if err := tr.use(); err != nil {
		return nil, err
	}
	defer tr.mu.RUnlock()
	if w, ok := tr.pending.get(key); ok {
		if w.deleted {
			return nil, ErrNotFound
		}
		return append([]byte{}, w.value...), nil
	}
	value, err := tr.before.snap.Get(tr.db.ctx, key)
	return value, tr.db.failure(err)
}

// Has reports whether key exists.
func (tr *Transaction) Has(key []byte, ro *opt.ReadOptions) (bool, error) {
	if err := tr.use(); err != nil {
		return false, err
	}
	defer tr.mu.RUnlock()
	if w, ok := tr.pending.get(key); ok {
		return !w.deleted, nil
	}
	ok, err := tr.before.snap.Has(tr.db.ctx, key)
	return ok, tr.db.failure(err)
}

// NewIterator returns an iterator over what the transaction reads at present,
// within slice if that is not nil. Later writes do not change it. It must be
// released, and can be used after the transaction's end.
func (tr *Transaction) NewIterator(slice *util.Range, ro *opt.ReadOptions) iterator.Iterator {
	if err := tr.use(); err != nil {
		return iterator.NewEmptyIterator(err)
	}
	defer tr.mu.RUnlock()
	r := rangeOf(slice)
	return tr.db.newIterator(&merged{
		base: tr.before.snap.Iterator(tr.db.ctx, party.IteratorOptions{Range: r}),
		over: tr.pending.cursor(r),
	}, tr.before.retain())
}

// Put sets the value of key in the transaction. The slices are copied.
func (tr *Transaction) Put(key, value []byte, wo *opt.WriteOptions) error {
	return tr.write(func() { tr.pending.Put(key, value) })
}

// Delete removes key in the transaction. A missing key is no error.
func (tr *Transaction) Delete(key []byte, wo *opt.WriteOptions) error {
	return tr.write(func() { tr.pending.Delete(key) })
}

// Write adds the writes of b to the transaction, in their order.
func (tr *Transaction) Write(b *Batch, wo *opt.WriteOptions) error {
	if b == nil || b.Len() == 0 {
		return nil
	}
	var err error
	if done := tr.write(func() { err = b.Replay(tr.pending) }); done != nil {
		return done
	}
	return err
}

func (tr *Transaction) write(do func()) error {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.done {
		return errTransactionDone
	}
	do()
	return nil
}

// Commit applies the writes of the transaction, all or none, and ends it, also
// if it fails. Once it has returned nil they survive a loss of power, unless
// the DB was opened with NoSync. party.ErrConnectionLost: the leader was lost,
// and the transaction may have been committed or not.
func (tr *Transaction) Commit() error {
	if err := tr.db.ok(); err != nil {
		return err
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.done {
		return errTransactionDone
	}
	b := tr.pending.batch()
	err := tr.right.Commit(tr.db.ctx, b, party.WriteOptions{Sync: !tr.db.o.NoSync})
	tr.finishLocked()
	return tr.db.failure(err)
}

// Discard ends the transaction without applying anything. It does nothing after
// Commit or another Discard.
func (tr *Transaction) Discard() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if !tr.done {
		tr.right.Discard()
		tr.finishLocked()
	}
}
