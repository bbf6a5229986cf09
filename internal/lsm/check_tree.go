package lsm

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/manifest"
	"github.com/levelparty/party/internal/format/wal"
)

// tree is what a manifest says, read so that damage is told and as much as
// possible understood. What opens a database is stricter: see version.
type tree struct {
	num     format.FileNum
	name    string
	edits   int
	end     int64 // of the last edit
	torn    bool  // more follows, of which nothing can be read
	broken  bool  // and it was not merely cut short: C++ LevelDB refuses that
	damaged bool  // something else than its end could not be read
	levels  [numLevels][]*file
	counters
	foreign string // the order of keys, if it is not ours
	// gone are tables that were in a level and are in none any more.
	gone map[format.FileNum]bool
}

// readTree reads a manifest up to limit, or to its end if that is negative.
// The error is what kept it from reading.
func readTree(src io.ReaderAt, num format.FileNum, name string, limit int64, damage func(offset int64, reason string)) (*tree, error) {
	t := &tree{num: num, name: name, gone: make(map[format.FileNum]bool)}
	damaged := func(offset int64, reason string) {
		t.damaged = true
		damage(offset, reason)
	}
	var levels [numLevels]map[format.FileNum]manifest.FileMeta
	for i := range levels {
		levels[i] = make(map[format.FileNum]manifest.FileMeta)
	}
	r := wal.NewReader(src, name, 0, limit)
	for {
		begin := r.End()
		payload, end, err := r.Next()
		if isEOF(err) {
			t.end, t.torn = r.End(), r.Torn()
			t.broken = t.torn && !cutShort(src, t.end)
			break
		}
		if err != nil {
			if _, ok := err.(*format.Corruption); ok {
				_ = eachFault(err, damaged)
				continue
			}
			return nil, err
		}
		var e manifest.Edit
		if err := e.Decode(payload); err != nil {
			_ = eachFault(err, func(_ int64, reason string) { damaged(begin, reason) })
			continue
		}
		t.end = end
		t.edits++
		t.apply(&e, &levels, func(format string, args ...any) { damaged(begin, fmt.Sprintf(format, args...)) })
	}
	if t.edits == 0 || t.nextFile == 0 {
		damaged(0, "the manifest holds no version")
	}
	t.sort(&levels, func(reason string) { damaged(-1, reason) })
	return t, nil
}

// cutShort reports whether what stands in a log from end on is a record that
// the end of the file cuts off.
func cutShort(src io.ReaderAt, end int64) bool {
	const header = 7 // see package wal
	for at := end; ; {
		if left := wal.BlockSize - at%wal.BlockSize; left < header {
			at += left
		}
		b := make([]byte, wal.BlockSize-at%wal.BlockSize)
		n, _ := src.ReadAt(b, at)
		if b = b[:n]; n < header {
			return true
		}
		size := header + int(binary.LittleEndian.Uint16(b[4:]))
		if size > n {
			return at/wal.BlockSize == (at+int64(n))/wal.BlockSize // the last block
		}
		if binary.LittleEndian.Uint32(b) != format.Checksum(b[6:size]) {
			return false
		}
		at += int64(size)
	}
}

func (t *tree) apply(e *manifest.Edit, levels *[numLevels]map[format.FileNum]manifest.FileMeta, damaged func(string, ...any)) {
	if e.HasComparator && e.Comparator != format.ComparerName {
		t.foreign = e.Comparator
	}
	if e.HasLastSeq && e.LastSeq < t.lastSeq {
		damaged("the last sequence number falls from %d to %d", t.lastSeq, e.LastSeq)
	}
	t.counters.apply(e)
	for _, d := range e.Deleted {
		if _, ok := levels[d.Level][d.Num]; !ok {
			damaged("takes table %d from level %d, which has none", d.Num, d.Level)
		}
		delete(levels[d.Level], d.Num)
		t.gone[d.Num] = true
	}
	for _, a := range e.Added {
		for level := range levels {
			// Into the same level again is what goleveldb does.
			if _, ok := levels[level][a.Num]; ok && level != a.Level {
				damaged("adds table %d to level %d, level %d has it", a.Num, a.Level, level)
			}
		}
		if format.CompareInternal(a.Smallest, a.Largest) > 0 {
			damaged("table %d ends before it begins", a.Num)
		}
		levels[a.Level][a.Num] = a.FileMeta
		delete(t.gone, a.Num)
	}
}

// sort makes the levels of a version.
func (t *tree) sort(levels *[numLevels]map[format.FileNum]manifest.FileMeta, damaged func(reason string)) {
	for level, metas := range levels {
		for _, num := range numbers(metas) {
			t.levels[level] = append(t.levels[level], newFile(metas[num]))
		}
		files := t.levels[level]
		if level == 0 {
			slices.Reverse(files) // the newest first
			continue
		}
		slices.SortFunc(files, func(a, b *file) int { return format.CompareInternal(a.Smallest, b.Smallest) })
		for i := 1; i < len(files); i++ {
			if a, b := files[i-1], files[i]; format.CompareInternal(a.Largest, b.Smallest) >= 0 {
				damaged(fmt.Sprintf("tables %d and %d of level %d overlap", a.Num, b.Num, level))
			}
		}
	}
}

// used returns the tables that are in a level.
func (t *tree) used() map[format.FileNum]bool {
	used := make(map[format.FileNum]bool)
	for _, files := range t.levels {
		for _, f := range files {
			used[f.Num] = true
		}
	}
	return used
}

// lacksLog reports whether logs that the manifest calls necessary must have
// been there. That the one it names is not says nothing yet: it may be one that
// was to come, when the last member left, or only the number behind one whose
// writes are in tables.
func (t *tree) lacksLog(l *files) bool {
	if t.logNumber == 0 || t.nextFile == t.logNumber+1 || l.logs[t.logNumber-1] != "" {
		return false
	}
	for num := range l.logs {
		if num >= t.logNumber {
			return false
		}
	}
	return true
}

// needs reports whether a log is not in tables.
func (t *tree) needs(log format.FileNum) bool {
	return log >= t.logNumber || log == t.prevLog && log != 0
}
