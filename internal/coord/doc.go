// Package coord lets the processes that have one database directory open agree
// on who is there, who writes, and what is visible: through party.shm, a
// control block that all of them map, and through locks on bytes of LevelDB's
// LOCK file, by which the kernel says who is alive. It knows no keys and reads
// no database file; what the numbers it carries mean is the engine's business.
//
// A Control is one member: one open handle, of which a process may have several.
//
// # Locks on the LOCK file
//
//	byte 0          shared by every member, with a shared flock besides, so that
//	                every other LevelDB, of either kind, is refused; and refuses us
//	byte 1          exclusive: somebody joins, recovers, or may be the last to leave
//	byte 2          exclusive: the leader
//	byte 64 + i     exclusive: the member in slot i is alive, i < 1024
//
// They are record locks of an open file. The kernel drops them when that file
// is closed, which it does for a process that was killed, after its last
// instruction. So a test of byte 64+i says dead or alive, whatever becomes of
// process ids, and in all containers alike. Part of the format, as are the magic
// and the version of party.shm: versions of this package meet there.
//
// # Death
//
// A process may be killed, or stopped for any time, at any instruction.
//
// A stopped one is alive. Stopped inside the write lock it keeps all writers
// waiting, stopped inside the join lock all joiners, until they give up; there is
// nothing else that would be safe. Stopped anywhere else it keeps nobody
// waiting for longer than a few milliseconds, a tenth of a second where it syncs.
//
// The write lock of a dead process is taken over by the next who waits for it,
// who is told so and repairs the files. What else the dead leave is in layout.go,
// field by field.
//
// # Faults
//
// Somebody may truncate party.shm. A member's mapping then faults when it is
// touched, and the process dies unless the access was guarded. Open and Leave
// guard themselves. All other methods are the caller's to guard (vfs.Guard), who
// has the mapped memtables to guard anyway.
package coord
