package lsm

import (
	"bytes"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/sstable"
	"github.com/levelparty/party/internal/memtable"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/vfs"
)

// iterator walks internal keys.
type iterator interface {
	First() bool
	Last() bool
	SeekGE(ikey []byte) bool
	Next() bool
	Prev() bool
	Key() []byte
	Value() []byte
	Err() error
	Close()
}

// memIter is an iterator over a memtable that somebody holds.
type memIter struct{ memtable.Iter }

func (*memIter) Close() {}

// tableIter is an iterator over one table.
type tableIter struct {
	sstable.Iter
	table *table
}

// newTableIter returns an iterator over f. With scan it leaves the cache alone.
func (db *DB) newTableIter(f *file, scan bool) (*tableIter, error) {
	t, err := db.tables.get(f)
	if err != nil {
		return nil, err
	}
	it := &tableIter{table: t}
	it.begin(scan)
	return it, nil
}

func (it *tableIter) begin(scan bool) {
	if scan {
		it.ResetScan(&it.table.Reader)
	} else {
		it.Reset(&it.table.Reader)
	}
}

func (it *tableIter) Close() {
	if it.table != nil {
		it.table.unref()
		it.table = nil
	}
}

// levelIter is an iterator over the tables of a sorted level, one after the
// other. It holds one of them at a time.
type levelIter struct {
	db    *DB
	files []*file
	scan  bool
	at    int // of the open table
	open  bool
	it    tableIter
	err   error
}

func newLevelIter(db *DB, files []*file, scan bool) *levelIter {
	return &levelIter{db: db, files: files, scan: scan}
}

// load opens the i-th table. It reports whether there is one.
func (l *levelIter) load(i int) bool {
	if i < 0 || i >= len(l.files) || l.err != nil {
		l.unload()
		return false
	}
	if l.open && l.at == i {
		return true
	}
	l.unload()
	t, err := l.db.tables.get(l.files[i])
	if err != nil {
		l.err = err
		return false
	}
	l.it.table, l.at, l.open = t, i, true
	l.it.begin(l.scan)
	return true
}

func (l *levelIter) unload() {
	if l.open {
		if l.err == nil {
			l.err = l.it.Err()
		}
		l.it.Close()
		l.open = false
	}
}

func (l *levelIter) First() bool { return l.load(0) && (l.it.First() || l.forward()) }
func (l *levelIter) Last() bool  { return l.load(len(l.files)-1) && (l.it.Last() || l.backward()) }

func (l *levelIter) SeekGE(ikey []byte) bool {
	i := search(l.files, format.UserKey(ikey))
	for i < len(l.files) && format.CompareInternal(l.files[i].Largest, ikey) < 0 {
		i++
	}
	return l.load(i) && (l.it.SeekGE(ikey) || l.forward())
}

func (l *levelIter) Next() bool { return l.open && (l.it.Next() || l.forward()) }
func (l *levelIter) Prev() bool { return l.open && (l.it.Prev() || l.backward()) }

// forward goes to the first entry of the next table that has one.
func (l *levelIter) forward() bool {
	for l.it.Err() == nil && l.load(l.at+1) {
		if l.it.First() {
			return true
		}
	}
	l.unload()
	return false
}

func (l *levelIter) backward() bool {
	for l.it.Err() == nil && l.load(l.at-1) {
		if l.it.Last() {
			return true
		}
	}
	l.unload()
	return false
}

func (l *levelIter) Key() []byte   { return l.it.Key() }
func (l *levelIter) Value() []byte { return l.it.Value() }
func (l *levelIter) Err() error {
	if l.err == nil && l.open {
		return l.it.Err()
	}
	return l.err
}
func (l *levelIter) Close() { l.unload() }

func closeAll(its []iterator) {
	for _, it := range its {
		it.Close()
	}
}

// Iterator walks the entries of one state. Not safe for concurrent use.
type Iterator struct {
	db     *DB
	view   *view
	seq    format.SeqNum
	bounds store.Bounds
	it     iterator
	err    error
	closed bool

	// Forward, it stands on the entry itself. Backward, it stands before all
	// entries of the key, which key and value are copies of.
	valid    bool
	backward bool
	behind   bool // backward: there are entries before those of key
	keySeq   format.SeqNum
	key      []byte // forward, only while older entries of it are skipped
	value    []byte
	seek     []byte // reused memory
}

// Iterator walks the keys within b as of snap or, if snap is nil, of now.
func (db *DB) Iterator(b store.Bounds, snap *Snapshot) *Iterator {
	// Neither an empty key nor an empty value is nil.
	it := &Iterator{db: db, key: []byte{}, value: []byte{}, bounds: store.Bounds{Lower: bytes.Clone(b.Lower), Upper: bytes.Clone(b.Upper)}}
	v, seq, err := db.hold(snap)
	if err != nil {
		it.err, it.closed = err, true
		return it
	}
	db.count(countIterators, 1)
	it.view, it.seq = v, seq
	it.it, it.err = v.newIter(b)
	return it
}

// newIter returns an iterator over all internal keys of the view that are
// within b, and maybe others.
func (v *view) newIter(b store.Bounds) (iterator, error) {
	var all []iterator
	if !v.mem.empty() {
		m := new(memIter)
		m.Reset(v.mem.Table)
		all = append(all, m)
	}
	if v.imm != nil && !v.imm.empty() {
		m := new(memIter)
		m.Reset(v.imm.Table)
		all = append(all, m)
	}
	for level, files := range v.version.levels {
		if level == 0 {
			for _, f := range files {
				if b.Upper != nil && bytes.Compare(f.smallest(), b.Upper) >= 0 || bytes.Compare(f.largest(), b.Lower) < 0 {
					continue
				}
				t, err := v.db.newTableIter(f, false)
				if err != nil {
					closeAll(all)
					return nil, err
				}
				all = append(all, t)
			}
		} else if len(files) > 0 {
			all = append(all, newLevelIter(v.db, files, false))
		}
	}
	return newMerger(all), nil
}

// guard turns a fault in mapped memory into an error.
func (i *Iterator) guard(move func(*Iterator) bool) (ok bool) {
	err := vfs.Guard(func() error {
		ok = move(i)
		return nil
	})
	if err != nil {
		i.err, i.valid = faulted(err), false
		return false
	}
	return ok
}

func (i *Iterator) ready() bool {
	i.valid = false
	if i.err == nil && (i.closed || i.db.closed.Load()) {
		i.err = ErrClosed
	}
	return i.err == nil
}

// First goes to the first entry.
func (i *Iterator) First() bool { return i.guard((*Iterator).first) }

func (i *Iterator) first() bool { return i.seekTo(i.bounds.Lower) }

// Seek goes to the first entry at or behind key.
func (i *Iterator) Seek(key []byte) bool {
	return i.guard(func(i *Iterator) bool { return i.seekTo(key) })
}

func (i *Iterator) seekTo(key []byte) bool {
	if !i.ready() {
		return false
	}
	if bytes.Compare(key, i.bounds.Lower) < 0 {
		key = i.bounds.Lower
	}
	i.backward = false
	i.seek = format.AppendInternalKey(i.seek[:0], key, i.seq, format.KindPut)
	if !i.it.SeekGE(i.seek) {
		return i.end()
	}
	return i.forward(false)
}

// Next goes to the next entry.
func (i *Iterator) Next() bool { return i.guard((*Iterator).next) }

func (i *Iterator) next() bool {
	if !i.valid || !i.ready() {
		return false
	}
	if i.backward {
		// It stands before the entries of key: over them, to what follows.
		i.backward = false
		i.seek = format.AppendInternalKey(i.seek[:0], i.key, 0, format.KindDelete)
		if !i.it.SeekGE(i.seek) {
			return i.end()
		}
		return i.forward(true)
	}
	i.key = append(i.key[:0], format.UserKey(i.it.Key())...)
	if !i.it.Next() {
		return i.end()
	}
	return i.forward(true)
}

// forward goes on to the first entry that can be seen; with skip not to one of
// i.key.
func (i *Iterator) forward(skip bool) bool {
	for {
		ikey := i.it.Key()
		if len(ikey) < format.TrailerLen {
			i.err = ErrCorrupted
			return false
		}
		user, trailer := format.UserKey(ikey), format.KeyTrailer(ikey)
		if i.bounds.Upper != nil && bytes.Compare(user, i.bounds.Upper) >= 0 {
			return i.end()
		}
		if format.SeqNum(trailer>>8) <= i.seq && !(skip && bytes.Equal(user, i.key)) {
			if format.Kind(trailer) == format.KindPut {
				i.valid = true
				return true
			}
			i.key, skip = append(i.key[:0], user...), true
		}
		if !i.it.Next() {
			return i.end()
		}
	}
}

func (i *Iterator) end() bool {
	i.err = i.it.Err()
	return false
}

// Last goes to the last entry.
func (i *Iterator) Last() bool { return i.guard((*Iterator).last) }

func (i *Iterator) last() bool {
	if !i.ready() {
		return false
	}
	i.backward = true
	if i.bounds.Upper == nil {
		return i.reverse(i.it.Last())
	}
	return i.reverse(i.seekBefore(i.bounds.Upper))
}

// seekBefore goes to the last internal key whose user key is before key.
func (i *Iterator) seekBefore(key []byte) bool {
	i.seek = format.AppendInternalKey(i.seek[:0], key, format.MaxSeqNum, format.KindPut)
	return seekLT(i.it, i.seek)
}

// Prev goes to the entry before.
func (i *Iterator) Prev() bool { return i.guard((*Iterator).prev) }

func (i *Iterator) prev() bool {
	if !i.valid || !i.ready() {
		return false
	}
	if i.backward {
		return i.reverse(i.behind)
	}
	i.backward = true
	i.key = append(i.key[:0], format.UserKey(i.it.Key())...)
	return i.reverse(i.seekBefore(i.key))
}

// reverse goes back over all entries of the next key that can be seen. Of one
// key the oldest entry comes first, so that the last to be seen is the one that
// counts. ok says that i.it stands on an entry.
func (i *Iterator) reverse(ok bool) bool {
	found := false
	for ; ok; ok = i.it.Prev() {
		ikey := i.it.Key()
		if len(ikey) < format.TrailerLen {
			i.err = ErrCorrupted
			return false
		}
		user, trailer := format.UserKey(ikey), format.KeyTrailer(ikey)
		if found && !bytes.Equal(user, i.key) {
			break
		}
		if bytes.Compare(user, i.bounds.Lower) < 0 {
			break
		}
		if format.SeqNum(trailer>>8) > i.seq {
			continue
		}
		if found = format.Kind(trailer) == format.KindPut; found {
			i.key = append(i.key[:0], user...)
			i.value = append(i.value[:0], i.it.Value()...)
			i.keySeq = format.SeqNum(trailer >> 8)
		}
	}
	i.behind = ok
	if err := i.it.Err(); err != nil {
		i.err = err
		return false
	}
	i.valid = found
	return found
}

// Key returns the key of the entry, valid until the next move.
func (i *Iterator) Key() []byte {
	if !i.valid {
		return nil
	}
	if i.backward {
		return i.key
	}
	return format.UserKey(i.it.Key())
}

// Value returns the value of the entry, valid until the next move.
func (i *Iterator) Value() []byte {
	if !i.valid {
		return nil
	}
	if i.backward {
		return i.value
	}
	return i.it.Value()
}

// Seq returns the sequence number of the entry.
func (i *Iterator) Seq() format.SeqNum {
	switch {
	case !i.valid:
		return 0
	case i.backward:
		return i.keySeq
	}
	return format.KeySeq(i.it.Key())
}

// Err returns why the iterator ended before its time; nil if it did not.
func (i *Iterator) Err() error { return i.err }

// Close lets go of what the iterator holds. It may be called more than once.
func (i *Iterator) Close() {
	if i.closed {
		return
	}
	i.closed, i.valid = true, false
	if i.it != nil {
		i.it.Close()
	}
	i.db.count(countIterators, -1)
	i.view.release()
}
