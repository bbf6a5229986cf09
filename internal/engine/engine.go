// Package engine is the LevelDB database below the leader: one process has it
// open, and everybody else reaches it through that process. It knows nothing
// of sockets and roles.
//
// The engine is goleveldb. What party needs of it is the Engine interface; no
// goleveldb type leaves the package.
package engine

import "github.com/levelparty/party/internal/store"

// Engine is one open database. Safe for concurrent use.
type Engine interface {
	Get(key []byte, snap store.Snapshot) ([]byte, error)
	Has(key []byte, snap store.Snapshot) (bool, error)
	Snapshot() (store.Snapshot, error)
	Iterator(b store.Bounds, snap store.Snapshot) store.Iterator

	// Write applies LevelDB batch records as one. The engine gives them count
	// consecutive sequence numbers.
	Write(records []byte, sync bool) error
	// LastSequence returns the sequence number of the last write.
	LastSequence() (uint64, error)

	CompactRange(b store.Bounds) error
	ApproximateSize(b store.Bounds) (int64, error)
	Property(name string) (string, error)
	Levels() ([]Level, error)
	Close() error
}

// Level is one level of the tree of tables.
type Level struct {
	Tables int
	Bytes  int64
}

// DefaultCache is the memory for uncompressed blocks where none is set, in
// bytes. LevelDB's 8 MiB serve one process; a leader's serve all.
const DefaultCache = 32 << 20

// Config is how a database is opened.
type Config struct {
	ReadOnly     bool
	MustExist    bool
	MustNotExist bool
	Cache        int // bytes; 0: DefaultCache, negative: none
	WriteBuffer  int // bytes; 0: 4 MiB
	MaxOpenFiles int // 0: 500
	NoSnappy     bool
	BloomBits    int // per key; 0: 10, negative: none
}
