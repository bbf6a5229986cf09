package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/syndtr/goleveldb/leveldb/journal"

	"github.com/levelparty/party/internal/store"
)

// Current returns what the CURRENT file of dir says: the name of the manifest.
// Every program that opens a database for writing makes a new manifest, so two
// equal answers mean that nobody else has written in between.
func Current(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "CURRENT"))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

// Sequence reads from the files of an unopened database the sequence number of
// the last write that an open would recover. It changes nothing.
func Sequence(dir string) (uint64, error) {
	l, err := findLogs(dir)
	if err != nil {
		return 0, err
	}
	seq := l.seq
	// Numbers rise from log to log: the last one that holds a write tells.
	for i := len(l.paths) - 1; i >= 0 && seq == l.seq; i-- {
		last := func(batch []byte) error {
			if len(batch) >= 12 && batchLen(batch) > 0 {
				seq = batchSeq(batch) + batchLen(batch) - 1
			}
			return nil
		}
		info, err := os.Stat(l.paths[i])
		if err != nil {
			return 0, err
		}
		// The end of it mostly does; it has to be read quickly, as everybody
		// waits for the next leader.
		err = eachRecordFrom(l.paths[i], max(0, info.Size()/logBlock-3)*logBlock, last)
		if err == nil && seq == l.seq {
			err = eachRecord(l.paths[i], last)
		}
		if err != nil {
			return 0, err
		}
	}
	return max(seq, l.seq), nil
}

// manifestState adds up the version edits of a manifest: the last sequence
// number and the oldest log still needed. For an edit's fields see
// google/leveldb db/version_edit.cc.
func manifestState(path string) (seq, oldestLog uint64, err error) {
	var prevLog uint64
	edits := 0
	err = eachRecord(path, func(edit []byte) error {
		edits++
		for len(edit) > 0 {
			var tag, v uint64
			ok := takeUvarint(&edit, &tag)
			switch tag {
			case 1: // comparer
				ok = ok && takeBytes(&edit)
			case 2:
				ok = ok && takeUvarint(&edit, &oldestLog)
			case 3: // next file
				ok = ok && takeUvarint(&edit, &v)
			case 4:
				ok = ok && takeUvarint(&edit, &v)
				seq = max(seq, v)
			case 5: // compaction pointer: level, key
				ok = ok && takeUvarint(&edit, &v) && takeBytes(&edit)
			case 6: // deleted table: level, number
				ok = ok && takeUvarint(&edit, &v) && takeUvarint(&edit, &v)
			case 7: // new table: level, number, size, smallest, largest
				ok = ok && takeUvarint(&edit, &v) && takeUvarint(&edit, &v) &&
					takeUvarint(&edit, &v) && takeBytes(&edit) && takeBytes(&edit)
			case 9:
				ok = ok && takeUvarint(&edit, &prevLog)
			default:
				ok = false
			}
			if !ok {
				return fmt.Errorf("%s: version edit: %w", path, store.ErrCorrupted)
			}
		}
		return nil
	})
	if errors.Is(err, os.ErrNotExist) || err == nil && edits == 0 {
		err = fmt.Errorf("CURRENT names %s, which is no manifest: %w", filepath.Base(path), store.ErrCorrupted)
	}
	if prevLog != 0 && prevLog < oldestLog {
		oldestLog = prevLog
	}
	return seq, oldestLog, err
}

func takeUvarint(b *[]byte, v *uint64) bool {
	x, n := binary.Uvarint(*b)
	if n <= 0 {
		return false
	}
	*v, *b = x, (*b)[n:]
	return true
}

func takeBytes(b *[]byte) bool {
	var n uint64
	if !takeUvarint(b, &n) || n > uint64(len(*b)) {
		return false
	}
	*b = (*b)[n:]
	return true
}

// eachRecord calls fn for the whole records of a log file. A torn or damaged
// one is passed over, as recovery does. The slice is fn's only during the call.
func eachRecord(path string, fn func([]byte) error) error { return eachRecordFrom(path, 0, fn) }

// logBlock is the unit of a log: at each multiple of it a piece of a record
// begins (google/leveldb doc/log_format.md).
const logBlock = 32 << 10

// eachRecordFrom begins with the first record behind an offset, which is a
// multiple of logBlock.
func eachRecordFrom(path string, offset int64, fn func([]byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	var record bytes.Buffer
	for records := journal.NewReader(f, nil, false, true); ; {
		r, err := records.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			record.Reset()
			if _, err = record.ReadFrom(r); errors.Is(err, io.ErrUnexpectedEOF) {
				continue
			}
		}
		if err != nil {
			return &os.PathError{Op: "read", Path: path, Err: err}
		}
		if err := fn(record.Bytes()); err != nil {
			return err
		}
	}
}
