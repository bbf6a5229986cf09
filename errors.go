package party

import "github.com/levelparty/party/internal/store"

// The errors that callers decide on. All are wrapped with the operation and,
// where there is one, the path: test them with errors.Is.
var (
	// ErrNotFound: Get found no such key.
	ErrNotFound = store.ErrNotFound

	// ErrClosed: the handle, iterator or snapshot has been closed.
	ErrClosed = store.ErrClosed

	// ErrLocked: a process that speaks none of the socket protocols holds
	// LevelDB's lock. The text names the directory and, where the system tells,
	// the process. Stop that process, or make it open the database through
	// party, rave-level or level-party.
	ErrLocked = store.ErrLocked

	// ErrReadOnly: a write through a handle opened with Options.ReadOnly.
	ErrReadOnly = store.ErrReadOnly

	// ErrConnectionLost: the leader was lost before it answered, and the handle
	// was opened with Options.NoRetry. A write may or may not have been applied.
	ErrConnectionLost = store.ErrConnectionLost

	// ErrSnapshotLost: the leader that held the Snapshot is gone. Take a new one
	// and begin again: what was read so far may belong to an older state.
	ErrSnapshotLost = store.ErrSnapshotLost

	// ErrCorrupted: a file or message is damaged.
	ErrCorrupted = store.ErrCorrupted

	// ErrNotSupported: the leader is a Node process, whose protocol has no
	// message for this. Nothing was done.
	ErrNotSupported = store.ErrNotSupported

	// ErrTooLarge: a request or answer is larger than Options.MaxMessage.
	ErrTooLarge = store.ErrTooLarge

	// ErrWriteFailed: a write to disk has failed halfway, or a sync has, in some
	// process. What the disk holds is not certain any more, so that nobody may
	// write until all have closed and the database has been opened again.
	ErrWriteFailed = store.ErrWriteFailed

	// ErrNoLeader: nobody leads, and this handle, opened with LeadNever, does
	// not. It comes with the context's error.
	ErrNoLeader = store.ErrNoLeader

	// ErrInvalid: an argument cannot be used.
	ErrInvalid = store.ErrInvalid

	// ErrNotExist: Options.MustExist, and there is no database.
	ErrNotExist = store.ErrNotExist

	// ErrExist: Options.MustNotExist, and there is a database.
	ErrExist = store.ErrExist
)
