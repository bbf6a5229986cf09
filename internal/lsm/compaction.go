package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/manifest"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/vfs"
)

// Compactions follow LevelDB's rules (google/leveldb doc/impl.md and
// db/version_set.cc): level 0 is compacted when it has four tables, another
// level when it is larger than ten times the one above, a table also when it
// was looked into in vain too often. The tables of level n and those of n+1
// that overlap them become new tables of n+1.
//
// Unlike LevelDB's, a compaction keeps no old entries for snapshots: who holds
// a snapshot holds the files it was taken on, see view.

const (
	compactLevel0 = 4        // tables in level 0 that call for a compaction
	levelBase     = 10 << 20 // bytes in level 1 that do
	tableSize     = 2 << 20  // bytes at which a table ends

	maxGrandparents = 10 * tableSize // that a table may overlap, before it ends
	maxExpanded     = 25 * tableSize // that inputs may be widened to
)

func maxBytes(level int) float64 {
	n := float64(levelBase)
	for ; level > 1; level-- {
		n *= 10
	}
	return n
}

// compaction is one step of work.
type compaction struct {
	level        int // of the upper inputs
	inputs       [2][]*file
	grandparents []*file // tables of level+2 that overlap
	view         *view
	rewrite      bool // even if moving would do
	why          string
}

const inVain = "looked into in vain" // why

// manual is a CompactRange that waits.
type manual struct {
	bounds store.Bounds
	done   chan error
}

// compactLoop compacts as long as there is anything to compact.
func (db *DB) compactLoop() {
	defer db.lead.ended.Done()
	asked := func(m *manual) {
		m.done <- faulted(vfs.Guard(func() error { return db.compactRange(m.bounds) }))
	}
	db.guardLoop(func() error {
		select {
		case m := <-db.lead.manual:
			asked(m)
		case <-db.lead.work:
		case <-db.lead.ctx.Done():
		}
		for db.lead.ctx.Err() == nil {
			c, err := db.pick()
			if err == nil && c == nil {
				break
			}
			if err == nil {
				err = db.compact(c)
			}
			if err != nil {
				db.inTrouble("compact", err)
				break
			}
			db.ctl.SetTrouble(nil)
			select {
			case m := <-db.lead.manual:
				asked(m)
			default:
			}
		}
		return nil
	})
}

// pick chooses what to compact next; nil if nothing calls for it.
func (db *DB) pick() (*compaction, error) {
	v, _, err := db.acquire()
	if err != nil {
		return nil, err
	}
	ver := v.version
	best, score := -1, 1.0
	for level := range numLevels - 1 {
		s := 0.0
		if level == 0 {
			s = float64(len(ver.levels[0])) / compactLevel0
		} else {
			s = float64(size(ver.levels[level])) / maxBytes(level)
		}
		if s >= score {
			best, score = level, s
		}
	}
	if best >= 0 {
		files := ver.levels[best]
		f := files[len(files)-1] // of level 0 the oldest
		if best > 0 {
			// Where the last compaction of this level ended.
			f = files[0]
			if p := ver.pointers[best]; p != nil {
				for _, g := range files {
					if format.CompareInternal(g.Largest, p) > 0 {
						f = g
						break
					}
				}
			}
		}
		return db.setUp(v, best, []*file{f}, fmt.Sprintf("score %.1f", score)), nil
	}
	if level, num, ok := db.ctl.TakeHint(); ok && level < numLevels-1 {
		for _, f := range ver.levels[level] {
			if f.Num == num {
				return db.setUp(v, level, []*file{f}, inVain), nil
			}
		}
	}
	v.release()
	return nil, nil
}

// setUp completes the inputs of a compaction that begins with files of level.
// It takes over v.
func (db *DB) setUp(v *view, level int, files []*file, why string) *compaction {
	c := &compaction{level: level, view: v, why: why}
	ver := v.version
	c.inputs[0] = files
	lower, upper := bounds(files)
	if level == 0 {
		c.inputs[0] = ver.overlapping(0, format.UserKey(lower), format.UserKey(upper))
	}
	c.inputs[0] = ver.withBoundary(level, c.inputs[0])
	lower, upper = bounds(c.inputs[0])
	c.inputs[1] = ver.withBoundary(level+1, ver.overlapping(level+1, format.UserKey(lower), format.UserKey(upper)))
	allLower, allUpper := bounds(c.inputs[0], c.inputs[1])
	if len(c.inputs[1]) > 0 {
		// More of the upper level costs little if it needs no more of the lower.
		wider := ver.withBoundary(level, ver.overlapping(level, format.UserKey(allLower), format.UserKey(allUpper)))
		if len(wider) > len(c.inputs[0]) && size(c.inputs[1])+size(wider) < maxExpanded {
			l, u := bounds(wider)
			below := ver.withBoundary(level+1, ver.overlapping(level+1, format.UserKey(l), format.UserKey(u)))
			if len(below) == len(c.inputs[1]) {
				c.inputs[0], c.inputs[1] = wider, below
				allLower, allUpper = bounds(wider, below)
			}
		}
	}
	if level+2 < numLevels {
		c.grandparents = ver.overlapping(level+2, format.UserKey(allLower), format.UserKey(allUpper))
	}
	return c
}

// withBoundary adds to files of a sorted level those that begin with the user
// key that one of them ends with: their entries are older, and must not stay
// above newer ones that move down.
func (v *version) withBoundary(level int, files []*file) []*file {
	if level == 0 || len(files) == 0 {
		return files
	}
	files = slices.Clone(files)
	_, largest := bounds(files)
	for i := search(v.levels[level], format.UserKey(largest)); i < len(v.levels[level]); i++ {
		f := v.levels[level][i]
		if !bytes.Equal(f.smallest(), format.UserKey(largest)) {
			if bytes.Compare(f.smallest(), format.UserKey(largest)) > 0 {
				break
			}
			continue
		}
		if format.CompareInternal(f.Smallest, largest) > 0 && !slices.Contains(files, f) {
			files = append(files, f)
			largest = f.Largest
		}
	}
	return files
}

// compact carries c out, and lets go of its view.
func (db *DB) compact(c *compaction) error {
	defer c.view.release()
	start := time.Now()
	e := new(manifest.Edit)
	for i, files := range c.inputs {
		for _, f := range files {
			e.Deleted = append(e.Deleted, manifest.DeletedFile{Level: c.level + i, Num: f.Num})
		}
	}
	if c.level > 0 {
		_, largest := bounds(c.inputs[0])
		e.CompactPointers = []manifest.CompactPointer{{Level: c.level, Key: largest}}
	}
	moved := !c.rewrite && len(c.inputs[0]) == 1 && len(c.inputs[1]) == 0 && size(c.grandparents) <= maxGrandparents
	if moved {
		e.Added = []manifest.AddedFile{{Level: c.level + 1, FileMeta: c.inputs[0][0].FileMeta}}
	} else {
		added, err := db.merge(c)
		e.Added = added
		if err != nil {
			db.discard(err, e.Added)
			return err
		}
	}
	failpoint.Hit("lsm.compact.written")
	db.lead.edits.Lock()
	defer db.lead.edits.Unlock()
	id, err := db.commit(e, func(s *coord.State) {
		if c.level == 0 {
			s.Level0 -= uint64(len(c.inputs[0]))
		}
	})
	if err != nil {
		if !moved {
			db.discard(err, e.Added)
		}
		return err
	}
	failpoint.Hit("lsm.compact.committed")
	if !moved {
		var written uint64
		for _, a := range e.Added {
			written += a.Size
		}
		db.stats.compacted(c, written, time.Since(start))
		for _, files := range c.inputs {
			for _, f := range files {
				db.lead.obsolete.add(f.Num, id)
			}
		}
		db.removeObsolete()
	}
	db.log.Debug("compacted", "level", c.level, "why", c.why, "moved", moved,
		"in", len(c.inputs[0])+len(c.inputs[1]), "out", len(e.Added), "took", time.Since(start))
	return nil
}

// merge writes the tables that c's inputs become.
func (db *DB) merge(c *compaction) (added []manifest.AddedFile, err error) {
	var all []iterator
	if c.level == 0 {
		for _, f := range c.inputs[0] {
			it, err := db.newTableIter(f, true)
			if err != nil {
				closeAll(all)
				return nil, err
			}
			all = append(all, it)
		}
	} else {
		all = append(all, newLevelIter(db, c.inputs[0], true))
	}
	if len(c.inputs[1]) > 0 {
		all = append(all, newLevelIter(db, c.inputs[1], true))
	}
	it := newMerger(all)
	defer it.Close()

	var t *tableFile
	finish := func() error {
		m, err := t.finish()
		t = nil
		if err == nil {
			added = append(added, manifest.AddedFile{Level: c.level + 1, FileMeta: *m})
		}
		return err
	}
	var user []byte // of the entry before
	seen := false   // a newer entry of user
	var below [numLevels]int
	grandparent, overlap := 0, uint64(0)
	for ok := it.First(); ok; ok = it.Next() {
		if err := db.lead.ctx.Err(); err != nil {
			if t != nil {
				err = t.abandon(err)
			}
			return added, err
		}
		key := it.Key()
		if len(key) < format.TrailerLen {
			err = fmt.Errorf("key of %d bytes: %w", len(key), ErrCorrupted)
			break
		}
		// A table ends where it would overlap too much two levels down.
		for grandparent < len(c.grandparents) && format.CompareInternal(key, c.grandparents[grandparent].Largest) > 0 {
			if t != nil {
				overlap += c.grandparents[grandparent].Size
			}
			grandparent++
		}
		if t != nil && overlap > maxGrandparents {
			overlap = 0
			if err = finish(); err != nil {
				break
			}
		}
		ukey := format.UserKey(key)
		if seen && bytes.Equal(ukey, user) {
			continue // hidden by the newer one, for every view to come
		}
		user, seen = append(user[:0], ukey...), true
		if format.KeyKind(key) == format.KindDelete && c.nothingBelow(ukey, &below) {
			continue
		}
		if t == nil {
			overlap = 0
			if t, err = db.createTable(); err != nil {
				break
			}
		}
		if err = t.add(key, it.Value()); err != nil {
			break
		}
		if t.EstimatedSize() >= tableSize {
			if err = finish(); err != nil {
				break
			}
		}
	}
	if err == nil {
		err = it.Err()
	}
	if err == nil && t != nil {
		err = finish()
	}
	if t != nil {
		err = t.abandon(err)
	}
	return added, err
}

// nothingBelow reports whether no level below c's tables has ukey. The keys
// asked for ascend; at remembers how far each level was searched.
func (c *compaction) nothingBelow(ukey []byte, at *[numLevels]int) bool {
	for level := c.level + 2; level < numLevels; level++ {
		files := c.view.version.levels[level]
		for ; at[level] < len(files); at[level]++ {
			f := files[at[level]]
			if bytes.Compare(ukey, f.largest()) <= 0 {
				if bytes.Compare(ukey, f.smallest()) >= 0 {
					return false
				}
				break
			}
		}
	}
	return true
}

// CompactRange writes all tables with keys in b anew, down to the lowest level
// that has any, and the memtables before them. REQUIRES: Lead.
func (db *DB) CompactRange(ctx context.Context, b store.Bounds) error {
	db.lead.mu.Lock()
	on, lctx, requests := db.lead.on, db.lead.ctx, db.lead.manual
	db.lead.mu.Unlock()
	if !on {
		return ErrClosed // no longer the leader: whoever is does it
	}
	if err := db.Flush(ctx); err != nil {
		return err
	}
	m := &manual{bounds: b, done: make(chan error, 1)}
	select {
	case requests <- m:
	case <-ctx.Done():
		return ctx.Err()
	case <-lctx.Done():
		return ErrClosed
	}
	select {
	case err := <-m.done:
		return err
	case <-ctx.Done():
		return ctx.Err() // it goes on by itself
	}
}

// Flush has everything written so far put into tables. Somebody must lead.
func (db *DB) Flush(ctx context.Context) error {
	t, err := db.Lock(ctx)
	if err != nil {
		return err
	}
	st := db.ctl.State()
	for st.ImmLog != 0 && err == nil {
		if err = t.waitForLeader(ctx, &st); errors.Is(err, ErrInterrupted) {
			err = nil
		}
	}
	if err == nil {
		var m *mem
		if m, err = db.activeMem(&st); err == nil {
			if !m.empty() {
				err = db.rotate(&st, 0)
			}
			m.unref()
		}
	}
	t.Unlock()
	for log := st.Log; err == nil; {
		st = db.ctl.State()
		if st.ImmLog == 0 || st.Log != log {
			break
		}
		if err = db.trouble(); err == nil {
			err = db.await(ctx, st.Epoch)
		}
	}
	return err
}

func (db *DB) compactRange(b store.Bounds) error {
	if b.Empty() {
		return nil
	}
	ctx := db.lead.ctx
	for level := 0; level < numLevels-1; level++ {
		lower := b.Lower
		for ctx.Err() == nil {
			v, _, err := db.acquire()
			if err != nil {
				return err
			}
			deepest := 0
			for l := range v.version.levels {
				if v.version.overlaps(l, b.Lower, b.Upper) {
					deepest = l
				}
			}
			files := v.version.overlapping(level, lower, b.Upper)
			if level > max(deepest-1, 0) || len(files) == 0 {
				v.release()
				break
			}
			if level > 0 {
				// Not more at a time than a usual compaction.
				n, sum := 0, uint64(0)
				for n < len(files) && (n == 0 || sum < maxExpanded/2) {
					sum += files[n].Size
					n++
				}
				files = files[:n]
			}
			_, upper := bounds(files)
			next := store.After(format.UserKey(upper))
			c := db.setUp(v, level, files, "asked for")
			c.rewrite = true
			if err := db.compact(c); err != nil {
				return err
			}
			if level == 0 {
				break
			}
			lower = next
		}
	}
	return ctx.Err()
}
