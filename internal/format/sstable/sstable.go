// Package sstable reads and writes LevelDB's tables: files of sorted internal
// keys with their values, never changed once written (google/leveldb
// doc/table_format.md).
//
//	table := data block*, [filter block], metaindex block, index block, footer
//
// Every block is followed by its type and checksum, see handle.go. A Writer
// makes a table, a Reader answers from one, an Iter walks it. The package
// opens no files: it is handed what reads their bytes.
package sstable

import "io"

// Source is the file of a table. If it also has a method Bytes() []byte that
// returns the whole file, as one that is mapped into memory does, blocks that
// are not compressed are used where they stand.
type Source interface {
	io.ReaderAt
}

// Compression says how the Writer stores blocks.
type Compression uint8

// They are the types that stand behind a block. Part of the format, never
// change.
const (
	None   Compression = 0
	Snappy Compression = 1
)
