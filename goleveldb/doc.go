// Package goleveldb lets a program that was written for
// github.com/syndtr/goleveldb/leveldb share its database with other processes,
// by a change of one import:
//
//	import leveldb "github.com/levelparty/party/goleveldb"
//
//	db, err := leveldb.OpenFile("path/to/db", nil)
//
// OpenFile then works in any number of processes at once, also beside programs
// that use party itself, rave-level or level-party. DB, Snapshot and
// Transaction have all the methods that goleveldb's have, and mean by them what
// goleveldb means; batches, options, ranges, iterators and errors are
// goleveldb's own types and values. For what goleveldb knows nothing of, such
// as who leads, see DB.Party.
//
// # What stays
//
// A DB's iterator reads the state at its creation, a Snapshot's that of the
// Snapshot, a Transaction's the state before the transaction under the writes
// made in it up to then. One transaction is open at a time, now among all
// processes, and the writes of all wait for its end; if its process dies, it is
// discarded. A write with opt.WriteOptions.Sync survives a loss of power, and
// so does a transaction that was committed, whichever process made it.
//
// Errors are those of goleveldb, compared with == or errors.Is: ErrNotFound,
// ErrClosed, ErrReadOnly, ErrSnapshotReleased, ErrIterReleased, os.ErrExist and
// os.ErrNotExist from OpenFile, and *errors.ErrCorrupted. Errors that goleveldb
// has no case for are party's, wrapped; the important ones follow.
//
// # What is different
//
// Waiting: a call waits while a leader that died is replaced, which is a matter
// of milliseconds. While a program that does not speak party's protocols has
// the database open, OpenFile and calls fail with party.ErrLocked after some
// seconds. Close ends all waiting with ErrClosed.
//
// A guest's snapshots (see party.Options.Sockets; on Linux a DB usually is none)
// end with the leader that holds them: when it is gone, reading from a Snapshot,
// a Transaction or any iterator fails with party.ErrSnapshotLost,
// rather than mix two states of the database. Whoever only scans, and would
// rather go on with the next leader's state, sets Options.ResumeIterators. If
// the leader is lost during Transaction.Commit, it is party.ErrConnectionLost
// and the transaction may have been committed or not.
//
// Limits: a guest can have some thousand snapshots and iterators at a time; one
// more is party.ErrTooLarge. A transaction is kept in memory until it is
// committed, and then is one message: like any other write it is limited by
// party.Options.MaxMessage, 64 MiB by default, and fails with party.ErrTooLarge
// above that. A transaction whose Commit failed is over; it cannot be tried
// again.
//
// Where a Node process leads, snapshots, transactions, synced writes,
// compaction, sizes, properties and statistics are party.ErrNotSupported:
// its protocols have no messages for them. An iterator then reads the state at
// its first move, and moves for which that protocol would begin again on
// another state, such as turning round, are party.ErrNotSupported.
//
// Only the order of bytes is supported: another opt.Options.Comparer is
// party.ErrInvalid. PartyOptions tells what becomes of the other options.
//
// Databases that are no directory, by Open and Recover of a storage.Storage,
// cannot be shared: these functions are missing here.
package goleveldb
