package goleveldb

import (
	"bytes"
	"encoding/binary"

	"github.com/syndtr/goleveldb/leveldb/comparer"
	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/memdb"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/levelparty/party"
)

// overlay is the writes of an open transaction. Each is kept, under a key of its
// own, so that an iterator goes on seeing what there was at its creation:
//
//	key in the memdb:  user key, 8 bytes ^(number<<1 | kind) big endian
//	kind:              1 for a put, 0 for a delete
//
// Writes are numbered from 1. In the memdb the newest write of a key comes
// first.
//
// Its methods need a lock around them, its cursors do not: the memdb has a lock
// of its own and leaves alone what it returned, and a cursor passes over what is
// newer than itself.
type overlay struct {
	mem   *memdb.DB
	count uint64 // of writes
	key   []byte // reused memory
}

// newest is a number above all writes.
const newest = 1<<62 - 1

func newOverlay() *overlay { return &overlay{mem: memdb.New(byKeyThenNewest{}, 4<<10)} }

// byKeyThenNewest orders the keys in the memdb. Plain bytes would not do: a
// user key can be the beginning of another.
type byKeyThenNewest struct{}

var _ comparer.BasicComparer = byKeyThenNewest{}

func (byKeyThenNewest) Compare(a, b []byte) int {
	m, n := len(a)-8, len(b)-8
	if c := bytes.Compare(a[:m], b[:n]); c != 0 {
		return c
	}
	return bytes.Compare(a[m:], b[n:])
}

func appendVersion(dst, key []byte, number uint64, kind uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, key...), ^(number<<1 | kind))
}

// from returns the place of the newest write of key that is not newer than
// number.
func from(key []byte, number uint64) []byte {
	return appendVersion(make([]byte, 0, len(key)+8), key, number, 1)
}

// write is one entry of an overlay.
type write struct {
	key, value []byte
	number     uint64
	deleted    bool
}

func parseWrite(version, value []byte) write {
	n := len(version) - 8
	tag := ^binary.BigEndian.Uint64(version[n:])
	return write{key: version[:n:n], value: value, number: tag >> 1, deleted: tag&1 == 0}
}

// Put and Delete make the overlay a BatchReplay.

func (o *overlay) Put(key, value []byte) { o.add(key, value, 1) }
func (o *overlay) Delete(key []byte)     { o.add(key, nil, 0) }

func (o *overlay) add(key, value []byte, kind uint64) {
	o.count++
	o.key = appendVersion(o.key[:0], key, o.count, kind)
	_ = o.mem.Put(o.key, value) // memory has no errors
}

// get returns the last write of key, if there is one.
func (o *overlay) get(key []byte) (write, bool) {
	version, value, err := o.mem.Find(from(key, newest))
	if err != nil {
		return write{}, false
	}
	w := parseWrite(version, value)
	return w, bytes.Equal(w.key, key)
}

// batch returns the last write of each key.
func (o *overlay) batch() *party.Batch {
	b := new(party.Batch)
	c := o.cursor(party.Range{})
	defer c.Close()
	for ok := c.First(); ok; ok = c.Next() {
		if c.at.deleted {
			b.Delete(c.at.key)
		} else {
			b.Put(c.at.key, c.at.value)
		}
	}
	return b
}

// cursor returns a cursor over the keys in r that have been written up to now,
// deleted ones included.
func (o *overlay) cursor(r party.Range) *overlayCursor {
	var slice util.Range
	if r.GTE != nil {
		slice.Start = from(r.GTE, newest)
	}
	if r.LT != nil {
		slice.Limit = from(r.LT, newest)
	}
	return &overlayCursor{it: o.mem.NewIterator(&slice), number: o.count}
}

// overlayCursor stands on the newest visible write of a key, which is at, after
// a move that returned true.
type overlayCursor struct {
	it     iterator.Iterator
	number uint64 // of the last visible write
	at     write
}

func (c *overlayCursor) First() bool { return c.forward(c.it.First()) }
func (c *overlayCursor) Last() bool  { return c.backward(c.it.Last()) }

func (c *overlayCursor) Seek(key []byte) bool { return c.forward(c.it.Seek(from(key, c.number))) }

// Next goes to the next key. REQUIRES: c stands on one.
func (c *overlayCursor) Next() bool {
	key := c.at.key
	ok := c.it.Next()
	for ok && bytes.Equal(c.entry().key, key) {
		ok = c.it.Next()
	}
	return c.forward(ok)
}

// Prev goes to the key before. REQUIRES: c stands on one.
func (c *overlayCursor) Prev() bool { return c.before(c.at.key) }

// before goes to the last key below key.
func (c *overlayCursor) before(key []byte) bool {
	if c.it.Seek(from(key, newest)) {
		return c.backward(c.it.Prev())
	}
	return c.backward(c.it.Last())
}

func (c *overlayCursor) Close() { c.it.Release() }

func (c *overlayCursor) entry() write { return parseWrite(c.it.Key(), c.it.Value()) }

// forward goes on to a visible write, if the memdb's iterator stands on one, or
// before those of its key.
func (c *overlayCursor) forward(ok bool) bool {
	for ; ok; ok = c.it.Next() {
		if c.at = c.entry(); c.at.number <= c.number {
			return true
		}
	}
	return false
}

// backward goes back to a key with a visible write. The oldest write of a key,
// which comes last, tells whether there is one.
func (c *overlayCursor) backward(ok bool) bool {
	for ; ok; ok = c.it.Prev() {
		if w := c.entry(); w.number <= c.number {
			return c.Seek(w.key)
		}
	}
	return false
}
