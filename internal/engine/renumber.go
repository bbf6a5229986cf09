package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/syndtr/goleveldb/leveldb/journal"

	"github.com/levelparty/party/internal/store"
)

// C++ LevelDB writes its latest sequence number into the manifest whenever a
// compaction ends, also while the log holds older writes that are in no table
// yet. That is allowed: its recovery takes every write of the log. goleveldb's
// recovery drops the writes whose number is below the manifest's, so that a
// directory left by a killed Node process would lose acknowledged writes.
//
// renumberLogs makes such logs safe to recover, before goleveldb opens the
// database: it replaces them by logs with the same writes, in the same order,
// numbered from where the manifest is on. Higher numbers mean the same, as
// every write of the logs is newer than what the tables hold of its keys.
func renumberLogs(dir string, readOnly bool) error {
	current, err := Current(dir)
	if err != nil || current == "" {
		return err
	}
	seq, oldestLog, err := manifestState(filepath.Join(dir, filepath.Base(current)))
	if err != nil {
		return err
	}
	logs, err := liveLogs(dir, oldestLog)
	if err != nil {
		return err
	}
	next, low := seq, false
	for _, path := range logs {
		err := eachRecord(path, func(batch []byte) error {
			if len(batch) >= 12 {
				low = low || batchSeq(batch) < next
				next = max(next, batchSeq(batch)+batchLen(batch))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if !low {
		return nil
	}
	if readOnly {
		return fmt.Errorf("recovery has to write; open it once for writing: %w", store.ErrReadOnly)
	}
	next = seq + 1
	for _, path := range logs {
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
		if err == nil {
			err = writeLog(path, batches)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

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
		num, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(path), ".log"), 10, 64)
		if err == nil && num >= oldest {
			number[path] = num
			live = append(live, path)
		}
	}
	sort.Slice(live, func(i, j int) bool { return number[live[i]] < number[live[j]] })
	return live, nil
}

// writeLog replaces the log at path by one of batches, durably.
func writeLog(path string, batches [][]byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	records := journal.NewWriter(f)
	for _, b := range batches {
		w, err := records.Next()
		if err == nil {
			_, err = w.Write(b)
		}
		if err != nil {
			f.Close()
			return err
		}
	}
	if err = records.Close(); err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
