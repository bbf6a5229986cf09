package lsm

import (
	"bytes"
	"maps"
	"slices"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/vfs"
)

// Without a manifest the tables themselves tell which is above which: of two
// tables that have entries of one key, the one with the newer ones is. In a
// sound tree that never leads in a circle, whatever the numbers of the tables.
// Where it does, or where two tables have the same entry, one of them was made
// of the other, and was to be removed: such tables are merged.

// order is what is above what.
type order map[*source]map[*source]bool // to those that are older

func (o order) add(newer, older *source) {
	if o[newer] == nil {
		o[newer] = make(map[*source]bool)
	}
	o[newer][older] = true
}

// arrange puts the tables into levels.
func (r *repairer) arrange() error {
	for {
		o, err := r.relate()
		if err != nil {
			return err
		}
		groups := o.groups(r.tables)
		merged := false
		var tables []*source
		for _, g := range groups {
			if len(g) > 1 {
				if g, err = r.mergeTables(g); err != nil {
					return err
				}
				merged = true
			}
			tables = append(tables, g...)
		}
		r.tables = tables
		if merged {
			continue // of the tables that were made, each has its own place
		}
		return r.spread(tables)
	}
}

// relate goes over all entries of all tables.
func (r *repairer) relate() (order, error) {
	o := make(order)
	m := &merger{}
	defer func() { m.Close() }()
	for i, s := range r.tables {
		m.all = append(m.all, &ranked{iterator: newLevelIter(r.db, []*file{s.file}, true), rank: i})
	}
	var key []byte
	var above *source
	n := 0
	return o, vfs.Guard(func() error {
		for ok := m.First(); ok; ok = m.Next() {
			if n++; n%lookCtx == 0 && r.ctx.Err() != nil {
				return r.ctx.Err()
			}
			at, next := r.tables[m.heap[0].it.(*ranked).rank], m.Key()
			if above != nil && at != above && bytes.Equal(format.UserKey(key), format.UserKey(next)) {
				o.add(above, at)
				if bytes.Equal(key, next) {
					o.add(at, above)
				}
			}
			key, above = append(key[:0], next...), at
		}
		return m.Err()
	})
}

// groups returns the tables, the oldest first, those together that lead in a
// circle. It is Tarjan's algorithm.
func (o order) groups(all []*source) (groups [][]*source) {
	all = slices.Clone(all)
	byNumber := func(a, b *source) int { return int(a.Num) - int(b.Num) }
	slices.SortFunc(all, byNumber)
	index, low := make(map[*source]int), make(map[*source]int)
	open := make(map[*source]bool)
	var stack []*source
	var visit func(s *source)
	visit = func(s *source) {
		index[s] = len(index) + 1
		low[s] = index[s]
		stack = append(stack, s)
		open[s] = true
		for _, older := range slices.SortedFunc(maps.Keys(o[s]), byNumber) {
			if index[older] == 0 {
				visit(older)
				low[s] = min(low[s], low[older])
			} else if open[older] {
				low[s] = min(low[s], index[older])
			}
		}
		if low[s] == index[s] {
			at := slices.Index(stack, s)
			group := slices.Clone(stack[at:])
			stack = stack[:at]
			for _, g := range group {
				delete(open, g)
			}
			groups = append(groups, group)
		}
	}
	for _, s := range all {
		if index[s] == 0 {
			visit(s)
		}
	}
	return groups
}

// mergeTables makes tables of the newest entries of others, whose files go into
// lost.
func (r *repairer) mergeTables(group []*source) (made []*source, err error) {
	m := &merger{}
	defer func() { m.Close() }()
	for _, s := range group {
		m.all = append(m.all, newLevelIter(r.db, []*file{s.file}, true))
	}
	var t *tableFile
	var user []byte
	finish := func() error {
		s, err := r.finish(t)
		t = nil
		if err == nil {
			made = append(made, s)
		}
		return err
	}
	n := 0
	err = vfs.Guard(func() error {
		for ok := m.First(); ok; ok = m.Next() {
			if n++; n%lookCtx == 0 && r.ctx.Err() != nil {
				return r.ctx.Err()
			}
			key := m.Key()
			if n > 1 && bytes.Equal(user, format.UserKey(key)) {
				continue
			}
			user = append(user[:0], format.UserKey(key)...)
			if t == nil {
				if t, err = r.newTable(r.newNumber()); err != nil {
					return err
				}
			}
			if err := t.add(key, m.Value()); err != nil {
				return err
			}
			if t.EstimatedSize() >= tableSize {
				if err := finish(); err != nil {
					return err
				}
			}
		}
		return m.Err()
	})
	if err == nil && t != nil {
		err = finish()
	}
	if err != nil {
		if t != nil {
			err = t.abandon(err)
		}
		return nil, err
	}
	for _, s := range group {
		r.db.tables.forget(s.file)
		if err := r.archive(s.name, true); err != nil {
			return nil, err
		}
	}
	r.report.Merged += len(group)
	return made, nil
}

// spread places tables, the oldest first: each into the lowest level in which,
// and above which, nothing overlaps it. What finds none is in level 0, where the
// number tells what is newer.
func (r *repairer) spread(tables []*source) error {
	var placed []*source
	for _, s := range tables {
		level, above := numLevels-1, s.Num
		for _, p := range placed {
			if bytes.Compare(s.largest(), p.smallest()) < 0 || bytes.Compare(p.largest(), s.smallest()) < 0 {
				continue
			}
			level = max(min(level, p.level-1), 0)
			if p.level == 0 {
				above = max(above, p.Num+1)
			}
		}
		s.level = level
		if level == 0 && above > s.Num {
			if err := r.renumber(s); err != nil {
				return err
			}
		}
		placed = append(placed, s)
		r.levels[level] = append(r.levels[level], s)
	}
	return nil
}

// renumber gives a table the greatest number.
func (r *repairer) renumber(s *source) error {
	num := r.newNumber()
	name := format.TableName(num)
	r.db.tables.forget(s.file)
	if err := r.place(r.path(s.name), name); err != nil {
		return err
	}
	meta := s.FileMeta
	meta.Num = num
	s.file, s.name = newFile(meta), name
	return nil
}

// sortLevels orders the tables of each level as a version does.
func (r *repairer) sortLevels() {
	for level, sources := range r.levels {
		slices.SortFunc(sources, func(a, b *source) int {
			if level == 0 {
				return int(b.Num) - int(a.Num)
			}
			return format.CompareInternal(a.Smallest, b.Smallest)
		})
	}
}
