// Package manifest encodes and decodes version edits, the records of LevelDB's
// manifests, and the file CURRENT, which names the manifest in use. What an
// edit means, and whether its files exist, it does not know. The records
// themselves are cut by package wal. It opens no files, and anything of
// format's layer or above may use it.
//
// A manifest is a log whose records are edits: applied in order to a database
// without files they make the current one. An edit (google/leveldb
// db/version_edit.cc) is a list of fields in any order; of those that can be
// there once only, the last counts:
//
//	edit  := field*
//	field := 1 varstring                   name of the comparer
//	       | 2 uvarint                     logs with lower numbers are in tables
//	       | 3 uvarint                     next file number
//	       | 4 uvarint                     last sequence number
//	       | 5 level ikey                  where the next compaction of level begins
//	       | 6 level uvarint               level loses file
//	       | 7 level uvarint uvarint ikey ikey
//	                                       level gains file: number, size,
//	                                       smallest and largest key
//	       | 9 uvarint                     one more log to recover, 0 for none
//	level := uvarint                       0 to 6
//	ikey  := varstring                     an internal key
//	varstring := uvarint(len) bytes
//
// Tags are uvarints, too. 8 stood for something that is long gone.
//
// CURRENT holds a file name and a newline:
//
//	MANIFEST-000005\n
//
// A manifest must not be allocated ahead of its writer, unlike a log: LevelDB
// does not open a database in whose manifest a record is cut short and zeros
// follow, although it opens one whose manifest ends there.
package manifest

// NumLevels is the number of levels of a database. Part of the format, never
// change.
const NumLevels = 7

// Tags of fields. Part of the format, never change.
const (
	tagComparer       = 1
	tagLogNumber      = 2
	tagNextFile       = 3
	tagLastSeq        = 4
	tagCompactPointer = 5
	tagDeleted        = 6
	tagAdded          = 7
	tagPrevLogNumber  = 9
)
