// Package party lets any number of processes open the same LevelDB directory at
// once. Every process calls Open and gets a handle; there is no server to start
// and nothing to configure.
//
//	db, err := party.Open(ctx, "data", nil)
//	if err != nil {
//		return err
//	}
//	defer db.Close()
//	err = db.Put(ctx, []byte("fruit"), []byte("apple"))
//
// On Linux every process is a member: it reads and writes the directory itself,
// coordinated with the others through shared memory. One of the members leads
// besides: it writes the tables and serves guests. When it closes, exits or is
// killed, another takes over, and the others hardly notice. Node processes that
// use rave-level or level-party take part too, unchanged, as guests of the leader
// through its sockets. Where memory cannot be shared, where Options.Sockets asks
// for it, and while a Node process leads, Go processes are guests as well. When
// the last process has gone, what is left is a LevelDB directory that any LevelDB
// opens.
//
// # What can be relied on
//
//   - A write that was acknowledged survives the death of every process; with
//     WriteOptions.Sync also a loss of power.
//   - What another process was told is written, Get sees: operations take effect
//     in one order that all processes see.
//   - Update applies what it writes only if what it read is still so.
//   - Snapshots and iterators of members stay as they are, whoever dies.
//   - Watch shows every change of every process, once, in order.
//   - A guest's write that is sent again after the leader was lost is applied once;
//     its calls take effect in their order, and its iterators return each key once
//     and in order, over any number of leaders.
//   - Every call ends with its context, and then says what it waited for.
//   - What cannot be done in full is an error, never done by halves.
//
// While a Node process leads, a write that is sent again may be applied twice, and
// what its protocol has no message for is ErrNotSupported: synced writes,
// snapshots, Update, View, Watch, Begin, CompactRange, ApproximateSize and
// Property.
//
// # What to know
//
// All processes run on one machine, as one user (or root), on a local file
// system. A guest's call is a round trip through a socket to the leader. A
// handle may come to lead at any time, unless Options.Lead is LeadNever; it then
// spends its own process's time and memory on the others.
//
// A Snapshot keeps the files that it reads from being removed. A guest's is held
// by the leader and ends with it: ErrSnapshotLost. So does its Exclusive:
// ErrConnectionLost. Its iterators go on with the next leader, on that one's
// state, unless IteratorOptions.OneState or Options.NoRetry forbids it.
//
// Clear is not atomic; Write and Update are.
//
// A program that opens the directory by itself, without one of the socket
// protocols, keeps all others out while it runs, and they it: see ErrLocked.
//
// Package goleveldb, below this one, has the methods of
// github.com/syndtr/goleveldb for programs written for that. The files docs and
// ARCHITECTURE.md of the repository tell how it works.
package party
