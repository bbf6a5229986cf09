package lsm

import (
	"bytes"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/manifest"
)

// numLevels is how many levels of tables there are, as in LevelDB.
const numLevels = 7

// file is one table of a version. It is shared by all versions that hold it.
type file struct {
	manifest.FileMeta
	versions int32                 // that hold it; guarded by DB.viewMu
	table    atomic.Pointer[table] // nil while it is not open
	seeks    atomic.Int32          // left before looking into it in vain has cost as much as compacting it
}

func newFile(m manifest.FileMeta) *file {
	f := &file{FileMeta: m}
	// One seek costs about as much as compacting 16 KiB (google/leveldb
	// db/version_set.cc).
	f.seeks.Store(int32(min(max(m.Size/16384, 100), 1<<30)))
	return f
}

func (f *file) smallest() []byte { return format.UserKey(f.Smallest) }
func (f *file) largest() []byte  { return format.UserKey(f.Largest) }

// version is one state of the tree of tables. It does not change.
//
// Level 0 is sorted from the newest table to the oldest, whose keys may
// overlap. The other levels are sorted by key and do not overlap.
type version struct {
	id     uint64 // coord.State.Version
	refs   int32  // views that hold it; guarded by DB.viewMu
	levels [numLevels][]*file
	counters
	pointers [numLevels][]byte // where the next compaction of a level begins, an internal key
}

// counters are what the manifest says beside the tables.
type counters struct {
	logNumber format.FileNum
	prevLog   format.FileNum
	nextFile  format.FileNum
	lastSeq   format.SeqNum
}

// apply takes over what an edit says.
func (c *counters) apply(e *manifest.Edit) {
	if e.HasLogNumber {
		c.logNumber = e.LogNumber
	}
	if e.HasPrevLogNumber {
		c.prevLog = e.PrevLogNumber
	}
	if e.HasNextFile {
		c.nextFile = e.NextFile
	}
	if e.HasLastSeq {
		c.lastSeq = e.LastSeq
	}
}

// apply returns the version that v becomes by edits. Tables that are in known
// are shared with the versions that hold them already.
func (v *version) apply(known map[format.FileNum]*file, edits ...*manifest.Edit) (*version, error) {
	next := &version{counters: v.counters, pointers: v.pointers}
	levels := v.levels
	var own [numLevels]bool // levels[i] is a copy of its own
	for _, e := range edits {
		if e.HasComparator && e.Comparator != format.ComparerName {
			return nil, fmt.Errorf("the database orders its keys by %q, this library by %q: %w", e.Comparator, format.ComparerName, ErrInvalid)
		}
		next.counters.apply(e)
		for _, p := range e.CompactPointers {
			next.pointers[p.Level] = p.Key
		}
		for _, d := range e.Deleted {
			level := levels[d.Level]
			if !own[d.Level] {
				level = slices.Clone(level)
				own[d.Level] = true
			}
			// There may be none, which LevelDB lets pass, or two: see below.
			levels[d.Level] = slices.DeleteFunc(level, func(f *file) bool { return f.Num == d.Num })
		}
		for _, a := range e.Added {
			if len(a.Smallest) < format.TrailerLen || len(a.Largest) < format.TrailerLen {
				return nil, fmt.Errorf("table %d has bounds that are no keys: %w", a.Num, ErrCorrupted)
			}
			if !own[a.Level] {
				levels[a.Level] = slices.Clone(levels[a.Level])
				own[a.Level] = true
			}
			f := known[a.Num]
			if f == nil {
				f = newFile(a.FileMeta)
			}
			levels[a.Level] = append(levels[a.Level], f)
		}
	}
	for i := range levels {
		if !own[i] {
			continue
		}
		// The manifest that goleveldb begins with tables of a log adds them twice.
		unique := func(a, b *file) bool { return a.Num == b.Num }
		if i == 0 {
			slices.SortFunc(levels[0], func(a, b *file) int { return int(b.Num) - int(a.Num) })
			levels[0] = slices.CompactFunc(levels[0], unique)
			continue
		}
		slices.SortFunc(levels[i], func(a, b *file) int { return format.CompareInternal(a.Smallest, b.Smallest) })
		levels[i] = slices.CompactFunc(levels[i], unique)
		for j := 1; j < len(levels[i]); j++ {
			a, b := levels[i][j-1], levels[i][j]
			if format.CompareInternal(a.Largest, b.Smallest) >= 0 {
				return nil, fmt.Errorf("tables %d and %d of level %d overlap: %w", a.Num, b.Num, i, ErrCorrupted)
			}
		}
	}
	next.levels = levels
	return next, nil
}

// files visits all tables.
func (v *version) files(visit func(level int, f *file)) {
	for level, files := range v.levels {
		for _, f := range files {
			visit(level, f)
		}
	}
}

// search returns the index of the first table of a sorted level whose largest
// user key is not before user.
func search(files []*file, user []byte) int {
	low, high := 0, len(files)
	for low < high {
		mid := int(uint(low+high) >> 1)
		if bytes.Compare(files[mid].largest(), user) < 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// overlaps reports whether a table of level has a key within [lower, upper],
// user keys, both inclusive; nil is unbounded.
func (v *version) overlaps(level int, lower, upper []byte) bool {
	return len(v.overlapping(level, lower, upper)) > 0
}

// overlapping returns the tables of level that may have keys within
// [lower, upper], user keys, both inclusive; nil is unbounded. In level 0 it
// widens the range by the tables it finds, until it finds no more: what is
// older than a table that is compacted has to be compacted with it.
func (v *version) overlapping(level int, lower, upper []byte) []*file {
	files := v.levels[level]
	if level > 0 {
		from, to := 0, len(files)
		if lower != nil {
			from = search(files, lower)
		}
		for i := from; i < to; i++ {
			if upper != nil && bytes.Compare(files[i].smallest(), upper) > 0 {
				to = i
			}
		}
		return files[from:to]
	}
	for {
		var found []*file
		wider := false
		for _, f := range files {
			if lower != nil && bytes.Compare(f.largest(), lower) < 0 || upper != nil && bytes.Compare(f.smallest(), upper) > 0 {
				continue
			}
			found = append(found, f)
			if lower != nil && bytes.Compare(f.smallest(), lower) < 0 {
				lower, wider = f.smallest(), true
			}
			if upper != nil && bytes.Compare(f.largest(), upper) > 0 {
				upper, wider = f.largest(), true
			}
		}
		if !wider {
			return found
		}
	}
}

func size(files []*file) (n uint64) {
	for _, f := range files {
		n += f.Size
	}
	return n
}

// bounds returns the smallest and the largest internal key of files.
func bounds(groups ...[]*file) (smallest, largest []byte) {
	for _, files := range groups {
		for _, f := range files {
			if smallest == nil || format.CompareInternal(f.Smallest, smallest) < 0 {
				smallest = f.Smallest
			}
			if largest == nil || format.CompareInternal(f.Largest, largest) > 0 {
				largest = f.Largest
			}
		}
	}
	return smallest, largest
}

// snapshotEdit returns the edit that makes v out of nothing: the first record
// of a manifest.
func (v *version) snapshotEdit() *manifest.Edit {
	e := &manifest.Edit{HasComparator: true, Comparator: format.ComparerName}
	for level, p := range v.pointers {
		if p != nil {
			e.CompactPointers = append(e.CompactPointers, manifest.CompactPointer{Level: level, Key: p})
		}
	}
	v.files(func(level int, f *file) {
		e.Added = append(e.Added, manifest.AddedFile{Level: level, FileMeta: f.FileMeta})
	})
	v.numbers(e)
	return e
}

// numbers puts what v says beside its tables into e.
func (v *version) numbers(e *manifest.Edit) {
	e.LogNumber, e.HasLogNumber = v.logNumber, true
	e.PrevLogNumber, e.HasPrevLogNumber = 0, true
	e.NextFile, e.HasNextFile = v.nextFile, true
	e.LastSeq, e.HasLastSeq = v.lastSeq, true
}
