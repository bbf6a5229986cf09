package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/syndtr/goleveldb/leveldb"
	leveldberrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"
	"github.com/syndtr/goleveldb/leveldb/table"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/levelparty/party/internal/store"
)

// Files is the directory of a database, locked by goleveldb's kind of lock.
type Files struct {
	dir  string
	stor storage.Storage
}

// Lock takes goleveldb's lock on dir, which must exist. Held by somebody else,
// it is store.ErrLocked.
func Lock(dir string, readOnly bool) (*Files, error) {
	stor, err := storage.OpenFile(dir, readOnly)
	if errors.Is(err, syscall.EAGAIN) || isSharingViolation(err) {
		return nil, store.ErrLocked
	}
	if err != nil {
		return nil, err
	}
	return &Files{dir, stor}, nil
}

// Unlock gives the directory up. Only for files that no engine has taken over.
func (f *Files) Unlock() error { return f.stor.Close() }

// Exists reports whether dir holds a database.
func Exists(dir string) (bool, error) {
	_, err := os.Stat(filepath.Join(dir, "CURRENT"))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return false, nil
	}
	return err == nil, err
}

// Open opens the database in f and takes f over; the lock is given up when the
// engine is closed, or when Open fails.
func Open(f *Files, c Config) (Engine, error) {
	o := &opt.Options{
		ReadOnly:               c.ReadOnly,
		ErrorIfMissing:         c.MustExist || c.ReadOnly,
		ErrorIfExist:           c.MustNotExist,
		BlockCacheCapacity:     c.Cache,
		WriteBuffer:            c.WriteBuffer,
		OpenFilesCacheCapacity: c.MaxOpenFiles,
		Compression:            opt.SnappyCompression,
	}
	switch {
	case c.Cache == 0:
		o.BlockCacheCapacity = DefaultCache
	case c.Cache < 0:
		o.BlockCacheCapacity = -1
	}
	if c.NoSnappy {
		o.Compression = opt.NoCompression
	}
	if c.BloomBits >= 0 {
		bits := c.BloomBits
		if bits == 0 {
			bits = 10
		}
		o.Filter = filter.NewBloomFilter(bits)
	}
	stor := f.stor
	logs, err := findLogs(f.dir)
	switch {
	case err != nil:
	case c.ReadOnly && (logs.low || len(logs.paths) > 1):
		stor, err = logs.inMemory(stor)
	case logs.low:
		err = logs.rewrite()
	}
	if err != nil {
		f.stor.Close()
		return nil, fmt.Errorf("recover logs: %w", err)
	}
	db, err := leveldb.Open(stor, o)
	if err != nil {
		f.stor.Close()
		return nil, translate(err)
	}
	return &goleveldb{db: db, files: f}, nil
}

type goleveldb struct {
	db      *leveldb.DB
	files   *Files
	batches sync.Pool
}

// closed are the errors of what is used after it, or the database below it, was
// closed. Iterators go on after the database's end, until they come to a table.
var closed = []error{
	leveldb.ErrClosed, leveldb.ErrSnapshotReleased, leveldb.ErrIterReleased,
	iterator.ErrIterReleased, table.ErrReaderReleased, table.ErrIterReleased, storage.ErrClosed, util.ErrReleased,
}

// translate gives goleveldb's errors their names here.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case err == leveldb.ErrNotFound:
		return store.ErrNotFound
	case slices.Contains(closed, err):
		return store.ErrClosed
	case err == leveldb.ErrReadOnly:
		return store.ErrReadOnly
	case errors.Is(err, os.ErrExist):
		return store.ErrExist
	case errors.Is(err, os.ErrNotExist):
		return store.ErrNotExist
	case leveldberrors.IsCorrupted(err):
		return fmt.Errorf("%w: %w", store.ErrCorrupted, err)
	}
	return err
}

// goleveldb keeps a snapshot's state in its Snapshot.
type snapshot struct{ *leveldb.Snapshot }

func (e *goleveldb) Get(key []byte, snap store.Snapshot) ([]byte, error) {
	var v []byte
	var err error
	if snap == nil {
		v, err = e.db.Get(key, nil)
	} else {
		v, err = snap.(snapshot).Get(key, nil)
	}
	if err != nil {
		return nil, translate(err)
	}
	if v == nil {
		v = []byte{} // an empty value is not a missing one
	}
	return v, nil
}

func (e *goleveldb) Has(key []byte, snap store.Snapshot) (bool, error) {
	var ok bool
	var err error
	if snap == nil {
		ok, err = e.db.Has(key, nil)
	} else {
		ok, err = snap.(snapshot).Has(key, nil)
	}
	return ok, translate(err)
}

func (e *goleveldb) Snapshot() (store.Snapshot, error) {
	s, err := e.db.GetSnapshot()
	if err != nil {
		return nil, translate(err)
	}
	return snapshot{s}, nil
}

func slice(b store.Bounds) *util.Range {
	if b.Lower == nil && b.Upper == nil {
		return nil
	}
	return &util.Range{Start: b.Lower, Limit: b.Upper}
}

func (e *goleveldb) Iterator(b store.Bounds, snap store.Snapshot) store.Iterator {
	if b.Empty() {
		return cursor{iterator.NewEmptyIterator(nil)}
	}
	if snap == nil {
		return cursor{e.db.NewIterator(slice(b), nil)}
	}
	return cursor{snap.(snapshot).NewIterator(slice(b), nil)}
}

// cursor is a goleveldb iterator under this package's names.
type cursor struct{ iterator.Iterator }

func (c cursor) Err() error { return translate(c.Error()) }
func (c cursor) Close()     { c.Release() }

func (e *goleveldb) Write(records []byte, sync bool) error {
	b, _ := e.batches.Get().(*leveldb.Batch)
	if b == nil {
		b = new(leveldb.Batch)
	}
	err := b.Load(records)
	if err == nil {
		err = e.db.Write(b, &opt.WriteOptions{Sync: sync})
	}
	_ = b.Load(nil) // forget the caller's slice
	e.batches.Put(b)
	return translate(err)
}

func (e *goleveldb) LastSequence() (uint64, error) {
	s, err := e.db.GetSnapshot()
	if err != nil {
		return 0, translate(err)
	}
	defer s.Release()
	// The number is shown nowhere else.
	var seq uint64
	if _, err := fmt.Sscanf(s.String(), "leveldb.Snapshot{%d}", &seq); err != nil {
		return 0, fmt.Errorf("sequence number of %q: %w", s.String(), err)
	}
	return seq, nil
}

func (e *goleveldb) CompactRange(b store.Bounds) error {
	return translate(e.db.CompactRange(util.Range{Start: b.Lower, Limit: b.Upper}))
}

func (e *goleveldb) ApproximateSize(b store.Bounds) (int64, error) {
	upper := b.Upper
	if upper == nil {
		// SizeOf takes nil for the smallest key. Look for a key above all there
		// are.
		it := e.db.NewIterator(nil, nil)
		if it.Last() {
			upper = store.After(it.Key())
		}
		it.Release()
	}
	sizes, err := e.db.SizeOf([]util.Range{{Start: b.Lower, Limit: upper}})
	if err != nil {
		return 0, translate(err)
	}
	return sizes.Sum(), nil
}

func (e *goleveldb) Property(name string) (string, error) {
	v, err := e.db.GetProperty(name)
	return v, translate(err)
}

func (e *goleveldb) Levels() ([]Level, error) {
	var st leveldb.DBStats
	if err := e.db.Stats(&st); err != nil {
		return nil, translate(err)
	}
	levels := make([]Level, len(st.LevelTablesCounts))
	for i := range levels {
		levels[i] = Level{Tables: st.LevelTablesCounts[i], Bytes: st.LevelSizes[i]}
	}
	return levels, nil
}

func (e *goleveldb) Close() error {
	return errors.Join(translate(e.db.Close()), e.files.stor.Close())
}
