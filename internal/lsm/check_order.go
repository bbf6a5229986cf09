package lsm

import (
	"bytes"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/vfs"
)

// maxOrderFaults is how many entries in the wrong level are told of.
const maxOrderFaults = 20

// ranked is one source of entries of a tree: those of a source with a smaller
// rank are newer, for the same key.
type ranked struct {
	iterator
	rank, level int
	file        func() *file
}

// ranks returns the sources of a tree, the newest first: each table of level 0,
// and each other level. Tables that keep says no to are left out.
func (db *DB) ranks(t *tree, keep func(*file) bool) []iterator {
	var all []iterator
	for level, files := range t.levels {
		var kept []*file
		for _, f := range files {
			if keep(f) {
				kept = append(kept, f)
			}
		}
		for len(kept) > 0 {
			n := len(kept)
			if level == 0 {
				n = 1
			}
			it := newLevelIter(db, kept[:n], true)
			all = append(all, &ranked{it, len(all), level, func() *file { return it.files[it.at] }})
			kept = kept[n:]
		}
	}
	return all
}

// order checks that for every key what is above is newer. Of tables that are
// not sound nothing is known.
func (c *checker) order(t *tree, sound map[*file]bool) error {
	all := c.db.ranks(t, func(f *file) bool { return sound[f] })
	m := &merger{all: all}
	defer m.Close()
	var key []byte // of the entry before
	var above *file
	rank, level, faults, n := 0, 0, 0, 0
	err := vfs.Guard(func() error {
		for ok := m.First(); ok && faults < maxOrderFaults; ok = m.Next() {
			if n++; n%lookCtx == 0 && c.ctx.Err() != nil {
				return c.ctx.Err()
			}
			at, next := m.heap[0].it.(*ranked), m.Key()
			f := at.file()
			if key != nil && bytes.Equal(format.UserKey(key), format.UserKey(next)) {
				switch {
				case format.CompareInternal(key, next) == 0:
					faults++
					c.problem(format.TableName(f.Num), -1, "%s is in table %d of level %d, too", showKey(next), above.Num, level)
				case at.rank < rank:
					faults++
					c.problem(format.TableName(f.Num), -1, "%s, in level %d, is older than what table %d of level %d has of the key",
						showKey(next), at.level, above.Num, level)
				}
			}
			key = append(key[:0], next...)
			above, rank, level = f, at.rank, at.level
		}
		return m.Err()
	})
	return eachFault(err, func(offset int64, reason string) { c.problem(t.name, offset, "tables cannot be read: %s", reason) })
}
