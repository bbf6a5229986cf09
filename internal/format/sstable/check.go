package sstable

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/levelparty/party/internal/format"
)

// maxCheckErrors is how many faults Check reports of one table.
const maxCheckErrors = 20

// Check reads the whole table and reports what is wrong with it, all faults
// joined: checksums of blocks, the order of keys, whether they are within what
// the index says, and whether the filter knows them. Each entry that can be
// read is handed to each, unless that is nil; an error from there is a fault,
// too.
func (r *Reader) Check(each func(ikey, value []byte) error) error {
	var errs []error
	report := func(err error) {
		if err != nil && len(errs) < maxCheckErrors {
			errs = append(errs, err)
		}
	}
	report(r.metaErr)
	var last []byte // key
	var buf Scratch
	var it blockIter
	for i, h := range r.index.handles {
		block, err := r.read(h, true, &buf)
		if err != nil {
			report(err)
			continue
		}
		if !it.init(block) {
			report(r.corrupt(h.offset, "bad data block"))
			continue
		}
		fault := ""
		for ok := it.first(); ok; ok = it.forward() {
			if s := r.checkEntry(&it, i, last); fault == "" {
				fault = s // one of each block is enough
			}
			last = append(last[:0], it.key...)
			if each != nil {
				report(each(it.key, it.value))
			}
		}
		if it.bad {
			fault = "bad entry in a data block"
		}
		if fault == "" {
			fault = it.checkRestarts()
		}
		if fault != "" {
			report(r.corrupt(h.offset, fault))
		}
	}
	return errors.Join(errs...)
}

// checkEntry returns what is wrong with the entry at hand of block i, which
// follows the key last.
func (r *Reader) checkEntry(it *blockIter, i int, last []byte) string {
	user := format.UserKey(it.key)
	switch {
	case format.KeyKind(it.key) > format.KindPut:
		return fmt.Sprintf("key %q of unknown kind %d", user, format.KeyKind(it.key))
	case len(last) > 0 && format.CompareInternal(last, it.key) >= 0:
		return fmt.Sprintf("key %q is not greater than the one before it", user)
	case format.CompareInternal(it.key, r.index.key(i)) > 0:
		return fmt.Sprintf("key %q is greater than its index entry", user)
	case i > 0 && format.CompareInternal(it.key, r.index.key(i-1)) <= 0:
		return fmt.Sprintf("key %q is not greater than the index entry before its own", user)
	case !r.filter.mayContain(r.index.handles[i].offset, bloomHash(user)):
		return fmt.Sprintf("the filter does not know key %q", user)
	}
	return ""
}

// checkRestarts tells whether the restart points are entries that stand for
// themselves, in order.
func (b *blockIter) checkRestarts() string {
	i, n := 0, len(b.restarts)/4
	for ok := b.first(); ok && i < n; ok = b.forward() {
		if b.restart(i) != b.off {
			continue
		}
		if shared, _, _, _, _ := decodeEntry(b.entries, b.off); shared != 0 {
			return "a restart point that needs the entry before it"
		}
		i++
	}
	if i < n && !bytes.Equal(b.restarts, make([]byte, 4)) { // that of an empty block
		return "a restart point that is no entry"
	}
	return ""
}
