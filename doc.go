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
// The first process takes LevelDB's lock and leads: it has the database open and
// serves the others through sockets in the directory. The others are its guests.
// When the leader closes, exits or is killed, another handle takes over, and the
// calls and iterators that wait go on with it. Node processes that use rave-level
// or level-party take part too, unchanged, as guests and as leaders. When the last
// process has gone, what is left is a LevelDB directory that any LevelDB opens.
//
// # What can be relied on
//
//   - A write that was acknowledged survives the death of every process; with
//     WriteOptions.Sync also a loss of power.
//   - A write that is sent again after the leader was lost is applied once.
//   - Calls of one goroutine take effect in their order, over any number of leaders.
//   - An iterator returns each key once and in order, over any number of leaders.
//   - What another process was told is written, Get sees.
//   - Every call ends with its context, and then says what it waited for.
//   - What cannot be done in full is an error, never done by halves.
//
// While a Node process leads, the second of these is at least once, and what its
// protocol has no message for is ErrNotSupported: synced writes, snapshots,
// Begin, CompactRange, ApproximateSize and Property.
//
// # What to know
//
// All processes run on one machine, as one user (or root), on a local file
// system. A guest's call is a round trip through a socket to the leader. A
// handle may come to lead at any time, unless Options.Lead is LeadNever; it then
// spends its own process's time and memory on the others.
//
// A Snapshot is held by the leader and ends with it: ErrSnapshotLost. So does
// Exclusive: ErrConnectionLost. An iterator goes on with the next leader, on that
// one's state, unless IteratorOptions.OneState or Options.NoRetry forbids it.
//
// Clear is not atomic; Write is. There is no read-modify-write call: Begin, read,
// Commit does it.
//
// A program that opens the directory by itself, without one of the socket
// protocols, keeps all others out while it runs, and they it: see ErrLocked.
//
// Package goleveldb, below this one, has the methods of
// github.com/syndtr/goleveldb for programs written for that. The files docs and
// ARCHITECTURE.md of the repository tell how it works.
package party
