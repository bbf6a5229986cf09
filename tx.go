package party

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/leader"
	"github.com/levelparty/party/internal/lsm"
	"github.com/levelparty/party/internal/store"
)

// ErrConflict: Update gave up because others changed what it had read, every
// time it tried.
var ErrConflict = errors.New("party: conflict")

const (
	// maxTries is how often Update runs its function.
	maxTries = 100
	// A conflict is followed by a pause of this length at most, at random,
	// doubled with each further one.
	firstBackoff = 20 * time.Microsecond
	longBackoff  = 10 * time.Millisecond
)

// Tx is what a function given to Update or View reads and writes. It ends with
// the function. Not safe for concurrent use.
type Tx struct {
	ctx      context.Context
	db       *DB
	readOnly bool
	over     bool
	writes   map[string]*[]byte // by key; nil deletes

	// Either: a snapshot of the database itself, and what was read from it.
	local  *leader.Leader
	snap   *lsm.Snapshot
	keys   map[string]format.SeqNum // of the values that were read, 0 for none
	ranges []readRange
	// Or, for a guest: what it reads from, while others cannot write.
	remote Reader
}

// readRange is a range that was read to its end, and a hash of the keys and
// sequence numbers that were there.
type readRange struct {
	bounds store.Bounds
	hash   uint64
}

// Update runs fn and then applies what it wrote, as one, if what it read is
// still so: as if nobody else did anything between its first read and its last
// write, in any process. Else it runs fn again, on the newer state; fn must
// therefore have no other effects. After an error of fn nothing is applied, and
// Update returns it. If others get in between again and again it is ErrConflict.
//
// A handle that reaches its leader through a socket has others wait while fn
// runs, as Begin does; it is ErrNotSupported while a Node process leads.
func (db *DB) Update(ctx context.Context, fn func(*Tx) error, o ...WriteOptions) error {
	return opError("update", db.update(ctx, fn, len(o) > 0 && o[0].Sync))
}

// View runs fn, which reads one state of the database. It is ErrNotSupported
// while a Node process leads.
func (db *DB) View(ctx context.Context, fn func(*Tx) error) error {
	return opError("view", db.view(ctx, fn))
}

func (db *DB) view(ctx context.Context, fn func(*Tx) error) error {
	snap, err := db.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer snap.Close()
	tx := &Tx{ctx: ctx, db: db, readOnly: true, remote: snap}
	defer tx.end()
	return fn(tx)
}

func (db *DB) update(ctx context.Context, fn func(*Tx) error, sync bool) error {
	if db.o.ReadOnly {
		return ErrReadOnly
	}
	backoff := firstBackoff
	for try := 0; ; try++ {
		local, _, err := db.way(ctx)
		if err != nil {
			return err
		}
		var done bool
		if local == nil {
			done, err = true, db.updateAlone(ctx, fn, sync)
		} else {
			done, err = db.tryUpdate(ctx, local, fn, sync)
		}
		if errors.Is(err, store.ErrClosed) && local != nil {
			if err = db.leaves(ctx, local); err == nil {
				continue
			}
		}
		if done || err != nil {
			return err
		}
		if try+1 == maxTries {
			return fmt.Errorf("%d times: %w", maxTries, ErrConflict)
		}
		if err := sleep(ctx, rand.N(backoff)); err != nil {
			return err
		}
		backoff = min(2*backoff, longBackoff)
	}
}

// tryUpdate runs fn on a snapshot. It reports whether that was not in vain.
func (db *DB) tryUpdate(ctx context.Context, l *leader.Leader, fn func(*Tx) error, sync bool) (done bool, err error) {
	state, err := l.Snapshot()
	if err != nil {
		return false, err
	}
	defer state.Release()
	tx := &Tx{ctx: ctx, db: db, local: l, snap: state.(*lsm.Snapshot), keys: make(map[string]format.SeqNum)}
	defer tx.end()
	if err := fn(tx); err != nil {
		return true, err
	}
	b := tx.batch()
	if b.n == 0 {
		return true, nil // what it read was one state
	}
	if err := db.commitIf(ctx, l, b, sync, tx.check); !errors.Is(err, ErrConflict) {
		return true, err
	}
	return false, nil
}

// commitIf applies b if check, called while nobody can write, finds no reason
// against it.
func (db *DB) commitIf(ctx context.Context, l *leader.Leader, b *Batch, sync bool, check func() error) error {
	if n := len(b.records); n > db.o.MaxMessage-messageOverhead {
		return fmt.Errorf("%d bytes, limit %d: %w", n, db.o.MaxMessage-messageOverhead, ErrTooLarge)
	}
	w := store.Write{Records: b.records, Count: b.n, Sync: sync}
	return l.CommitIf(ctx, &w, check)
}

// updateAlone runs fn while nobody else can write.
func (db *DB) updateAlone(ctx context.Context, fn func(*Tx) error, sync bool) error {
	x, err := db.beginExclusive(ctx)
	if err != nil {
		return err
	}
	defer x.Discard()
	tx := &Tx{ctx: ctx, db: db, remote: db}
	defer tx.end()
	if err := fn(tx); err != nil {
		return err
	}
	return x.Commit(ctx, tx.batch(), WriteOptions{Sync: sync})
}

func (tx *Tx) end() { tx.over = true }

// Get returns the value of key. A missing key is ErrNotFound. The slice belongs
// to the caller.
func (tx *Tx) Get(key []byte) ([]byte, error) {
	if tx.over {
		return nil, opError("get", ErrClosed)
	}
	if v, ok := tx.writes[string(key)]; ok {
		if v == nil {
			return nil, ErrNotFound
		}
		return bytes.Clone(*v), nil
	}
	if tx.local == nil {
		return tx.remote.Get(tx.ctx, key)
	}
	v, seq, err := tx.local.GetEntry(key, tx.snap)
	if err == nil || errors.Is(err, ErrNotFound) {
		tx.keys[string(key)] = seq
	}
	return v, opError("get", err)
}

// Has reports whether key exists.
func (tx *Tx) Has(key []byte) (bool, error) {
	_, err := tx.Get(key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Put sets the value of key.
func (tx *Tx) Put(key, value []byte) error {
	v := append([]byte{}, value...)
	return tx.write(key, &v)
}

// Delete removes key. A missing key is no error.
func (tx *Tx) Delete(key []byte) error { return tx.write(key, nil) }

func (tx *Tx) write(key []byte, value *[]byte) error {
	switch {
	case tx.over:
		return opError("write", ErrClosed)
	case tx.readOnly:
		return opError("write", ErrReadOnly)
	}
	if tx.writes == nil {
		tx.writes = make(map[string]*[]byte)
	}
	tx.writes[string(key)] = value
	return nil
}

// All visits the entries that o selects, those that the Tx has written by then
// among them. An error ends the loop as its last pair. Key and value are the
// loop body's to keep.
func (tx *Tx) All(o IteratorOptions) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if tx.over {
			yield(Entry{}, opError("iterator", ErrClosed))
			return
		}
		b := o.bounds()
		compare := bytes.Compare
		if o.Reverse {
			compare = func(a, b []byte) int { return bytes.Compare(b, a) }
		}
		var own [][]byte // written keys, in order
		for key := range tx.writes {
			if b.Contains([]byte(key)) {
				own = append(own, []byte(key))
			}
		}
		slices.SortFunc(own, compare)
		below := tx.below(b, o.Reverse)
		defer below.close()
		more := below.next()
		for n := 0; o.Limit <= 0 || n < o.Limit; {
			var e Entry
			switch {
			case more && (len(own) == 0 || compare(below.key(), own[0]) < 0):
				e = Entry{Key: bytes.Clone(below.key()), Value: append([]byte{}, below.value()...)}
				more = below.next()
			case len(own) > 0:
				if more && bytes.Equal(below.key(), own[0]) {
					more = below.next()
				}
				value := tx.writes[string(own[0])]
				key := own[0]
				own = own[1:]
				if value == nil {
					continue
				}
				e = Entry{Key: key, Value: bytes.Clone(*value)}
			default:
				if err := below.err(); err != nil {
					yield(Entry{}, opError("iterator", err))
				}
				return
			}
			if o.NoKeys {
				e.Key = nil
			}
			if o.NoValues {
				e.Value = nil
			}
			if !yield(e, nil) {
				return
			}
			n++
		}
	}
}

// below walks what the database has.
type below struct {
	next       func() bool
	key, value func() []byte
	err        func() error
	close      func()
}

func (tx *Tx) below(b store.Bounds, reverse bool) below {
	if tx.local == nil {
		o := IteratorOptions{Range: Range{GTE: b.Lower, LT: b.Upper}, Reverse: reverse}
		it := tx.remote.Iterator(tx.ctx, o)
		return below{it.Next, it.Key, it.Value, func() error { return it.err }, func() { it.Close() }}
	}
	it := tx.local.Iterator(b, tx.snap).(*lsm.Iterator)
	sum := newRangeHash()
	started, end := false, false
	next := func() bool {
		ok := false
		switch {
		case end:
		case started && reverse:
			ok = it.Prev()
		case started:
			ok = it.Next()
		case reverse:
			ok = it.Last()
		default:
			ok = it.First()
		}
		started, end = true, !ok
		if ok {
			sum.add(it)
		}
		return ok
	}
	done := func() {
		// What it saw is the range up to where it stands.
		read := store.Bounds{Lower: bytes.Clone(b.Lower), Upper: bytes.Clone(b.Upper)}
		if !end && started {
			if reverse {
				read.Lower = bytes.Clone(it.Key())
			} else {
				read.Upper = store.After(it.Key())
			}
		}
		if started {
			tx.ranges = append(tx.ranges, readRange{read, sum.sum})
		}
		it.Close()
	}
	return below{next, it.Key, it.Value, it.Err, done}
}

// rangeHash is a hash of a set of entries, in whatever order they are visited.
type rangeHash struct {
	sum  uint64
	hash maphash.Hash
}

var rangeSeed = maphash.MakeSeed()

func newRangeHash() *rangeHash {
	h := new(rangeHash)
	h.hash.SetSeed(rangeSeed)
	return h
}

func (h *rangeHash) add(it *lsm.Iterator) {
	h.hash.Reset()
	h.hash.Write(it.Key())
	seq := uint64(it.Seq())
	for range 8 {
		h.hash.WriteByte(byte(seq))
		seq >>= 8
	}
	h.sum += h.hash.Sum64()
}

// check reports an ErrConflict if what was read is no longer so. Nobody can
// write while it runs.
func (tx *Tx) check() error {
	if tx.local.LastSequence() == tx.snap.Seq() {
		return nil
	}
	for key, seq := range tx.keys {
		now, err := tx.local.Newest([]byte(key), nil)
		if err != nil {
			return err
		}
		if now != seq {
			return ErrConflict
		}
	}
	for _, r := range tx.ranges {
		sum := newRangeHash()
		it := tx.local.Iterator(r.bounds, nil).(*lsm.Iterator)
		for ok := it.First(); ok; ok = it.Next() {
			sum.add(it)
		}
		err := it.Err()
		it.Close()
		if err != nil {
			return err
		}
		if sum.sum != r.hash {
			return ErrConflict
		}
	}
	return nil
}

func (tx *Tx) batch() *Batch {
	b := new(Batch)
	for _, key := range slices.Sorted(maps.Keys(tx.writes)) {
		if v := tx.writes[key]; v == nil {
			b.Delete([]byte(key))
		} else {
			b.Put([]byte(key), *v)
		}
	}
	return b
}

// CompareAndSwap sets the value of key to value if it is old, and reports
// whether it did. A nil old stands for a missing key, and a nil value deletes;
// an empty one does not.
func (db *DB) CompareAndSwap(ctx context.Context, key, old, value []byte, o ...WriteOptions) (swapped bool, err error) {
	err = db.update(ctx, func(tx *Tx) error {
		swapped = false
		now, err := tx.Get(key)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if (now == nil) != (old == nil) || !bytes.Equal(now, old) {
			return nil
		}
		swapped = true
		if value == nil {
			return tx.Delete(key)
		}
		return tx.Put(key, value)
	}, len(o) > 0 && o[0].Sync)
	return swapped && err == nil, opError("compare and swap", err)
}

// PutIfAbsent sets the value of key if there is none, and reports whether it
// did.
func (db *DB) PutIfAbsent(ctx context.Context, key, value []byte, o ...WriteOptions) (put bool, err error) {
	return db.CompareAndSwap(ctx, key, nil, notNil(value), o...)
}
