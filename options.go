package party

import (
	"log/slog"
	"time"

	"github.com/levelparty/party/internal/wire"
)

// Options configures Open. The zero value, and nil, are good for most uses.
//
// The fields from Cache on configure the database itself and act in each process
// that has it open itself; a guest's are kept for the day it has.
type Options struct {
	// ReadOnly makes the handle refuse writes with ErrReadOnly. If others have
	// the database open, the handle is a member or a guest like any other, but
	// never leads; if nobody has, the database is opened without changing any of
	// its files, shared with other readers, and released as soon as a Go process
	// that may write asks for it.
	ReadOnly bool

	// MustExist makes Open fail with ErrNotExist where there is no database.
	// By default Open creates it, with its parent directories.
	MustExist bool

	// MustNotExist makes Open fail with ErrExist where there is a database.
	MustNotExist bool

	// Lead says how eager the handle is to lead. The default, LeadWhenFree,
	// is right for services.
	Lead Lead

	// NoRetry makes calls and iterators that wait for an answer when the
	// leader is lost fail with ErrConnectionLost. An iterator then always reads
	// a single snapshot. By default they go on with the next leader, and an
	// iterator resumes behind the last key it returned, on a new snapshot.
	NoRetry bool

	// Sockets makes the handle reach a leader through its socket, and lead alone
	// where nobody does, as on systems on which processes cannot share memory.
	// While it leads so, all others are its guests. By default a handle is a
	// member where that is possible: it reads and writes the database itself.
	Sockets bool

	// LockTimeout bounds how long calls wait while a process that speaks none
	// of the socket protocols holds LevelDB's lock; they then fail with
	// ErrLocked. Default 5 seconds; negative: as long as the call's context
	// allows.
	LockTimeout time.Duration

	// OnRole, if set, is called after every change of the handle's role, one
	// call at a time, in order. It may use the handle, but not close it.
	OnRole func(Role)

	// MaxMessage limits one request or answer on a socket, in bytes; a larger
	// one fails with ErrTooLarge. It should be the same in all processes.
	// Default 64 MiB.
	MaxMessage int

	// Logger is told about changes of role and about guests whose connection
	// was ended for breaking the protocol. Default: nothing is logged.
	Logger *slog.Logger

	// Cache is the memory for blocks of compressed tables, uncompressed, in bytes,
	// in each process that has the database open itself. What is not compressed
	// is read where the system has mapped it, which all processes share. Default
	// 8 MiB, of which only what is read is used; negative: none.
	Cache int

	// WriteBuffer is how much is gathered in memory before a table is written,
	// in bytes. Larger is faster under load and slower to take over. Default
	// 4 MiB.
	WriteBuffer int

	// Compression of tables. The default is Snappy.
	Compression Compression

	// BloomBits is the size of the bloom filter, in bits per key. Default 10,
	// as in Node's bindings; negative: no filter. More bits spare reads of
	// absent keys and cost memory.
	BloomBits int

	// MaxOpenFiles bounds the tables kept open. Where they can be mapped they need
	// no descriptors. Default 4096.
	MaxOpenFiles int

	// Retention is how much of the logs is kept for Watch beyond what the
	// database itself needs, in bytes. Default 16 MiB; negative: none. The
	// leader's counts.
	Retention int64

	// VerifyChecksums checks every block that is read against its checksum. By
	// default only the indexes and filters of tables are, when they are opened.
	VerifyChecksums bool

	// only, if set, are the protocols by which the handle looks for a leader. For
	// tests.
	only []wire.Proto
}

// Lead is a handle's will to lead.
type Lead uint8

const (
	// LeadWhenFree leads when nobody does.
	LeadWhenFree Lead = iota
	// LeadFirst leads when nobody does, before those with another will, and
	// asks a leader that is not LeadFirst to hand over. For the process that
	// lives longest, such as a host of its own.
	LeadFirst
	// LeadLast leads when nobody does and, after a leader is lost, leaves the
	// others a head start. It hands over when another process joins. For
	// tools that run a moment beside a service.
	LeadLast
	// LeadNever is always a member beside a leader, or a guest. It is never the
	// first to open the database: its calls wait until somebody is. While nobody
	// leads, a member's writes wait once the memtable is full, and a handle that
	// is not to be a member (see Sockets) can neither lead nor find a leader:
	// ErrLocked. While a reader has the database (see ReadOnly) writes fail with
	// ErrReadOnly.
	LeadNever
)

// Compression says how tables are compressed.
type Compression uint8

const (
	Snappy Compression = iota
	NoCompression
)

// WriteOptions are the options of one write.
type WriteOptions struct {
	// Sync makes the write durable before it is acknowledged: it survives a
	// loss of power. Without it a write survives the death of every process,
	// but not of the machine. Not supported while a Node process leads.
	Sync bool
}

// Range selects keys. A nil bound is absent; an empty, non-nil bound is the
// empty key. The zero Range is all keys.
type Range struct {
	GT, GTE []byte // lower bound, exclusive or inclusive
	LT, LTE []byte // upper bound, exclusive or inclusive
}

// IteratorOptions says what an iterator visits.
type IteratorOptions struct {
	Range
	// Reverse visits from the greatest key to the smallest: First is then the
	// greatest, and Next goes down.
	Reverse bool
	// Limit is the most entries the iterator yields, over all its moves. 0: no
	// limit.
	Limit int
	// NoValues leaves out the values, NoKeys the keys. What is not wanted need
	// not cross a socket.
	NoKeys, NoValues bool
	// OneState makes the iterator fail rather than read a second state of the
	// database: with ErrConnectionLost when the leader is lost, and with
	// ErrNotSupported at a move for which a Node leader's protocol would have to
	// begin again. Iterators of a Snapshot always read one state.
	OneState bool
}

// ClearOptions says what Clear deletes.
type ClearOptions struct {
	Range
	// Limit is the most keys deleted. 0: no limit.
	Limit int
	// Reverse deletes from the greatest key on, which matters with a Limit.
	Reverse bool
	WriteOptions
}
