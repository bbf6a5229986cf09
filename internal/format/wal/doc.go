// Package wal reads and writes the records of LevelDB's logs: the write-ahead
// logs of batches, and manifests, which are logs of version edits. It does not
// know what a record says. It opens no files, and anything of format's layer
// or above may use it.
//
// A log (google/leveldb doc/log_format.md) is a row of blocks of 32768 bytes,
// of which the last may be shorter. A block is a row of fragments, and what is
// left of a block is zero if it is too short for the header of one more:
//
//	log     := block*
//	block   := fragment* (0x00){0,6}
//
//	fragment:
//	offset size
//	0      4    checksum of bytes 6 to 6+n, see format.Checksum; little endian
//	4      2    n, little endian
//	6      1    kind
//	7      n    payload
//
//	record  := FULL | FIRST MIDDLE* LAST
//
//	kind      payload is
//	1 FULL    a record
//	2 FIRST   the beginning of a record that did not fit into its block
//	3 MIDDLE  more of it, a block full
//	4 LAST    its end
//
// A kind of 0 with a length of 0 is what a file holds that was allocated and
// not written: nothing in the rest of its block counts.
//
// # What follows a crash
//
// Whatever a log holds, Reader returns the records that C++ LevelDB's reader
// returns, so a database has the same contents whoever recovers it. They
// differ in what they say of the rest: LevelDB calls all damage a corruption
// that is not a cut-off end of file, Reader only that which has a whole record
// behind it. Where a log was allocated ahead of its writers, a write that was
// cut short is not at the end of the file: zeros follow it.
//
// A log that is allocated ahead must have a size that is a multiple of the
// block size: LevelDB's option reuse_logs appends at the end of the file, and
// in a block that begins with zeros nobody would find what it wrote.
package wal

const (
	// BlockSize is the size of a block. Part of the format, never change.
	BlockSize = 32768
	// headerLen is what stands before the payload of a fragment.
	headerLen = 7
)

// Kinds of fragments. Part of the format, never change.
const (
	kindZero   = 0
	kindFull   = 1
	kindFirst  = 2
	kindMiddle = 3
	kindLast   = 4
)
