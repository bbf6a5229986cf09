// Package format holds the bytes that every LevelDB shares.
package format

import (
	"encoding/binary"
	"fmt"

	"github.com/levelparty/party/internal/store"
)

// A batch record, as LevelDB's log keeps it behind the batch header
// (google/leveldb db/write_batch.cc):
//
//	record := 0x01 varstring varstring    put key, value
//	        | 0x00 varstring              delete key
//	varstring := uvarint(len) bytes
//
// Part of the format, never change.
const (
	recordDelete = 0
	recordPut    = 1
)

// AppendPut appends a record that sets key to value.
func AppendPut(dst, key, value []byte) []byte {
	dst = append(dst, recordPut)
	dst = binary.AppendUvarint(dst, uint64(len(key)))
	dst = append(dst, key...)
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

// AppendDelete appends a record that deletes key.
func AppendDelete(dst, key []byte) []byte {
	dst = append(dst, recordDelete)
	dst = binary.AppendUvarint(dst, uint64(len(key)))
	return append(dst, key...)
}

// Record is one decoded batch record. Its slices are parts of the batch.
type Record struct {
	Delete     bool
	Key, Value []byte
}

// NextRecord decodes the first record of records and returns the rest.
// Damage is ErrCorrupted.
func NextRecord(records []byte) (r Record, rest []byte, err error) {
	if len(records) == 0 {
		return r, nil, fmt.Errorf("batch record: empty: %w", store.ErrCorrupted)
	}
	kind := records[0]
	if kind > recordPut {
		return r, nil, fmt.Errorf("batch record: unknown kind %d: %w", kind, store.ErrCorrupted)
	}
	r.Delete = kind == recordDelete
	if r.Key, rest, err = varstring(records[1:], "key"); err != nil {
		return r, nil, err
	}
	if !r.Delete {
		r.Value, rest, err = varstring(rest, "value")
	}
	return r, rest, err
}

// CountRecords validates records and returns how many there are.
func CountRecords(records []byte) (int, error) {
	n := 0
	for len(records) > 0 {
		var err error
		if _, records, err = NextRecord(records); err != nil {
			return 0, fmt.Errorf("record %d: %w", n, err)
		}
		n++
	}
	return n, nil
}

func varstring(b []byte, what string) (s, rest []byte, err error) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, fmt.Errorf("batch record: %s runs past the end: %w", what, store.ErrCorrupted)
	}
	return b[w : w+int(n) : w+int(n)], b[w+int(n):], nil
}

// BatchHeaderLen is the length of what stands before the records of a batch in
// a log: the sequence number of the first, 8 bytes, and their count, 4 bytes,
// both little endian. The records behind it number on.
const BatchHeaderLen = 12

// AppendBatchHeader appends the header of a batch.
func AppendBatchHeader(dst []byte, seq SeqNum, count int) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(seq))
	return binary.LittleEndian.AppendUint32(dst, uint32(count))
}

// ParseBatch splits a batch. The records are not looked at: see NextRecord.
func ParseBatch(batch []byte) (seq SeqNum, count int, records []byte, err error) {
	if len(batch) < BatchHeaderLen {
		return 0, 0, nil, fmt.Errorf("batch of %d bytes: %w", len(batch), store.ErrCorrupted)
	}
	seq = SeqNum(binary.LittleEndian.Uint64(batch))
	if seq > MaxSeqNum {
		return 0, 0, nil, fmt.Errorf("batch with sequence number %d: %w", seq, store.ErrCorrupted)
	}
	return seq, int(binary.LittleEndian.Uint32(batch[8:])), batch[BatchHeaderLen:], nil
}
