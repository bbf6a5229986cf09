package sstable

import "github.com/levelparty/party/internal/format"

// Iter walks a table in both directions. It stands on an entry after a method
// that returned true; key and value are then valid until it is moved, and must
// not be changed. The zero Iter is for Reset. Not safe for concurrent use.
//
// An Iter needs not be closed: it only holds memory, which it uses again.
type Iter struct {
	r       *Reader
	at      int // the data block that block walks
	valid   bool
	scan    bool
	block   blockIter
	scratch Scratch
	err     error
}

// NewIter returns an iterator that stands nowhere.
func (r *Reader) NewIter() *Iter { return &Iter{r: r} }

// Reset makes it an iterator over r that stands nowhere.
func (i *Iter) Reset(r *Reader) { i.reset(r, false) }

// ResetScan is Reset for who goes over everything once, as a compaction does:
// what it reads is not put into the cache.
func (i *Iter) ResetScan(r *Reader) { i.reset(r, true) }

func (i *Iter) reset(r *Reader, scan bool) {
	i.r, i.scan, i.valid, i.err = r, scan, false, nil
	i.block.entries, i.block.restarts, i.block.value = nil, nil, nil
}

// Valid tells whether it stands on an entry.
func (i *Iter) Valid() bool { return i.valid }

// Key returns the internal key.
func (i *Iter) Key() []byte { return i.block.key }

// Value returns the value.
func (i *Iter) Value() []byte { return i.block.value }

// Err returns what the last move met, other than the end of the table.
func (i *Iter) Err() error { return i.err }

// First goes to the first entry.
func (i *Iter) First() bool { return i.load(0) && i.forward(i.block.first()) }

// Last goes to the last entry.
func (i *Iter) Last() bool { return i.load(i.r.index.len()-1) && i.backward(i.block.last()) }

// SeekGE goes to the first entry at or after ikey.
func (i *Iter) SeekGE(ikey []byte) bool {
	at := i.r.index.find(format.UserKey(ikey), format.KeyTrailer(ikey))
	return i.load(at) && i.forward(i.block.seek(ikey))
}

// Next goes to the entry after the current one.
func (i *Iter) Next() bool {
	if i.valid && i.block.forward() {
		return true
	}
	return i.valid && i.forward(false)
}

// Prev goes to the entry before the current one.
func (i *Iter) Prev() bool {
	if i.valid && i.block.back() {
		return true
	}
	return i.valid && i.backward(false)
}

// load begins to walk block at, if there is such a one.
func (i *Iter) load(at int) bool {
	i.valid, i.err = false, nil
	if at < 0 || at >= i.r.index.len() {
		return false
	}
	var block []byte
	if block, i.err = i.r.data(at, &i.scratch, i.scan); i.err != nil {
		return false
	}
	i.at = at
	return i.block.init(block) || i.damaged()
}

// forward goes on with the next block for as long as the one at hand has
// no entry.
func (i *Iter) forward(found bool) bool {
	for !found {
		if i.block.bad {
			return i.damaged()
		}
		if !i.load(i.at + 1) {
			return false
		}
		found = i.block.first()
	}
	i.valid = true
	return true
}

func (i *Iter) backward(found bool) bool {
	for !found {
		if i.block.bad {
			return i.damaged()
		}
		if !i.load(i.at - 1) {
			return false
		}
		found = i.block.last()
	}
	i.valid = true
	return true
}

func (i *Iter) damaged() bool {
	i.valid = false
	i.err = i.r.corrupt(i.r.index.handles[i.at].offset, "bad entry in a data block")
	return false
}
