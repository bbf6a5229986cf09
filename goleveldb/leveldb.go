package goleveldb

import (
	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"
)

// What is goleveldb's own, under the names it has there.
type (
	// Batch is a write batch.
	Batch = leveldb.Batch
	// BatchConfig contains the config options for MakeBatchWithConfig.
	BatchConfig = leveldb.BatchConfig
	// BatchReplay wraps basic batch operations.
	BatchReplay = leveldb.BatchReplay
	// DBStats is database statistics. See DB.Stats for what is filled in.
	DBStats = leveldb.DBStats
	// Reader is what can be read from: a DB, a Snapshot or a Transaction.
	Reader = leveldb.Reader
	// Sizes is a list of sizes.
	Sizes = leveldb.Sizes

	// ErrBatchCorrupted is the reason of a damaged batch.
	ErrBatchCorrupted = leveldb.ErrBatchCorrupted
	// ErrInternalKeyCorrupted is the reason of a damaged key.
	ErrInternalKeyCorrupted = leveldb.ErrInternalKeyCorrupted
	// ErrManifestCorrupted is the reason of a damaged manifest.
	ErrManifestCorrupted = leveldb.ErrManifestCorrupted
)

// The errors that goleveldb gives.
var (
	ErrNotFound         = leveldb.ErrNotFound
	ErrReadOnly         = leveldb.ErrReadOnly
	ErrSnapshotReleased = leveldb.ErrSnapshotReleased
	ErrIterReleased     = leveldb.ErrIterReleased
	ErrClosed           = leveldb.ErrClosed
)

// MakeBatch returns an empty batch with room for n bytes.
func MakeBatch(n int) *Batch { return leveldb.MakeBatch(n) }

// MakeBatchWithConfig returns an empty batch made as config says.
func MakeBatchWithConfig(config *BatchConfig) *Batch { return leveldb.MakeBatchWithConfig(config) }

// The types of this package are held against goleveldb's here, by the compiler:
// each pair satisfies one interface with all methods of goleveldb's type. The
// type parameters are the types that differ, because they are this package's
// own.

type anyDB[S, T any] interface {
	Get(key []byte, ro *opt.ReadOptions) (value []byte, err error)
	Has(key []byte, ro *opt.ReadOptions) (ret bool, err error)
	Put(key, value []byte, wo *opt.WriteOptions) error
	Delete(key []byte, wo *opt.WriteOptions) error
	Write(batch *leveldb.Batch, wo *opt.WriteOptions) error
	NewIterator(slice *util.Range, ro *opt.ReadOptions) iterator.Iterator
	GetSnapshot() (S, error)
	OpenTransaction() (T, error)
	CompactRange(r util.Range) error
	SizeOf(ranges []util.Range) (leveldb.Sizes, error)
	GetProperty(name string) (value string, err error)
	Stats(s *leveldb.DBStats) error
	SetReadOnly() error
	Close() error
}

type anySnapshot interface {
	Get(key []byte, ro *opt.ReadOptions) (value []byte, err error)
	Has(key []byte, ro *opt.ReadOptions) (ret bool, err error)
	NewIterator(slice *util.Range, ro *opt.ReadOptions) iterator.Iterator
	Release()
	String() string
}

type anyTransaction interface {
	Get(key []byte, ro *opt.ReadOptions) ([]byte, error)
	Has(key []byte, ro *opt.ReadOptions) (bool, error)
	Put(key, value []byte, wo *opt.WriteOptions) error
	Delete(key []byte, wo *opt.WriteOptions) error
	Write(b *leveldb.Batch, wo *opt.WriteOptions) error
	NewIterator(slice *util.Range, ro *opt.ReadOptions) iterator.Iterator
	Commit() error
	Discard()
}

var (
	_ anyDB[*leveldb.Snapshot, *leveldb.Transaction] = (*leveldb.DB)(nil)
	_ anyDB[*Snapshot, *Transaction]                 = (*DB)(nil)

	_ anySnapshot = (*leveldb.Snapshot)(nil)
	_ anySnapshot = (*Snapshot)(nil)

	_ anyTransaction = (*leveldb.Transaction)(nil)
	_ anyTransaction = (*Transaction)(nil)
)
