package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/syndtr/goleveldb/leveldb/journal"
	"github.com/syndtr/goleveldb/leveldb/storage"
)

// C++ LevelDB writes its latest sequence number into the manifest whenever a
// compaction ends, also while the log holds older writes that are in no table
// yet. That is allowed: its recovery takes every write of the log. goleveldb's
// recovery drops the writes whose number is below the manifest's, so that a
// directory left by a killed Node process would lose acknowledged writes.
//
// So such logs are renumbered before goleveldb opens the database: the same
// writes, in the same order, numbered from where the manifest is on. Higher
// numbers mean the same, as every write of the logs is newer than what the
// tables hold of its keys.

// liveLog is what recovery has to read.
type liveLog struct {
	paths []string // oldest first
	seq   uint64   // the manifest's sequence number
	low   bool     // the oldest write's is below that
}

// findLogs looks at the files of an unopened database.
func findLogs(dir string) (l liveLog, err error) {
	current, err := Current(dir)
	if err != nil || current == "" {
		return l, err
	}
	var oldest uint64
	if l.seq, oldest, err = manifestState(filepath.Join(dir, filepath.Base(current))); err != nil {
		return l, err
	}
	if l.paths, err = liveLogs(dir, oldest); err != nil {
		return l, err
	}
	// Numbers rise within a log and from log to log: the first tells.
	for _, path := range l.paths {
		found := false
		err := eachRecord(path, func(batch []byte) error {
			if len(batch) < 12 {
				return nil
			}
			found = true
			l.low = batchSeq(batch) < l.seq
			return io.EOF
		})
		if err != nil && err != io.EOF {
			return l, err
		}
		if found {
			break
		}
	}
	return l, nil
}

// renumber returns the writes of each log, numbered behind the manifest.
func (l *liveLog) renumber() (logs [][][]byte, err error) {
	next := l.seq + 1
	for _, path := range l.paths {
		var batches [][]byte
		err := eachRecord(path, func(batch []byte) error {
			if len(batch) >= 12 {
				b := bytes.Clone(batch)
				binary.LittleEndian.PutUint64(b, next)
				next += batchLen(b)
				batches = append(batches, b)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		logs = append(logs, batches)
	}
	return logs, nil
}

// rewrite replaces the logs by renumbered ones. It can be repeated after a
// crash.
func (l *liveLog) rewrite() error {
	logs, err := l.renumber()
	for i, batches := range logs {
		if err == nil {
			err = writeLog(l.paths[i], batches)
		}
	}
	return err
}

// readOnly is a database's storage for an open that must not write. It shows
// goleveldb a single log, in memory: of several it cannot read, and dropping
// low writes would be as wrong here.
type readOnly struct {
	storage.Storage
	fd  storage.FileDesc
	log []byte
}

func (l *liveLog) inMemory(under storage.Storage) (storage.Storage, error) {
	logs, err := l.renumber()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := writeRecords(&b, slices.Concat(logs...)); err != nil {
		return nil, err
	}
	last, err := logNumber(l.paths[len(l.paths)-1])
	return &readOnly{under, storage.FileDesc{Type: storage.TypeJournal, Num: int64(last)}, b.Bytes()}, err
}

func (s *readOnly) List(t storage.FileType) ([]storage.FileDesc, error) {
	fds, err := s.Storage.List(t &^ storage.TypeJournal)
	if t&storage.TypeJournal != 0 {
		fds = append(fds, s.fd)
	}
	return fds, err
}

func (s *readOnly) Open(fd storage.FileDesc) (storage.Reader, error) {
	if fd == s.fd {
		return memoryFile{bytes.NewReader(s.log)}, nil
	}
	return s.Storage.Open(fd)
}

type memoryFile struct{ *bytes.Reader }

func (memoryFile) Close() error { return nil }

func batchSeq(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
func batchLen(b []byte) uint64 { return uint64(binary.LittleEndian.Uint32(b[8:])) }

// liveLogs returns the paths of the logs that recovery reads, oldest first.
func liveLogs(dir string, oldest uint64) ([]string, error) {
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return nil, err
	}
	number := make(map[string]uint64)
	live := logs[:0]
	for _, path := range logs {
		num, err := logNumber(path)
		if err == nil && num >= oldest {
			number[path] = num
			live = append(live, path)
		}
	}
	sort.Slice(live, func(i, j int) bool { return number[live[i]] < number[live[j]] })
	return live, nil
}

func logNumber(path string) (uint64, error) {
	return strconv.ParseUint(strings.TrimSuffix(filepath.Base(path), ".log"), 10, 64)
}

func writeRecords(w io.Writer, records [][]byte) error {
	j := journal.NewWriter(w)
	for _, r := range records {
		w, err := j.Next()
		if err == nil {
			_, err = w.Write(r)
		}
		if err != nil {
			return err
		}
	}
	return j.Close()
}

// writeLog replaces the log at path by one of batches, durably.
func writeLog(path string, batches [][]byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	err = writeRecords(f, batches)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
