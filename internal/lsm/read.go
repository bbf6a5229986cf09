package lsm

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/sstable"
	"github.com/levelparty/party/internal/vfs"
)

// Snapshot is a pinned state of the database. It stays readable whatever other
// members do, the leader's death included: it holds the files it needs.
type Snapshot struct {
	view     *view
	seq      format.SeqNum
	released atomic.Bool
}

// Snapshot pins the present state. It must be released.
func (db *DB) Snapshot() (*Snapshot, error) {
	s := new(Snapshot)
	err := vfs.Guard(func() (err error) {
		if s.view, s.seq, err = db.hold(nil); err == nil {
			db.count(countSnapshots, 1)
		}
		return err
	})
	if err != nil {
		return nil, faulted(err)
	}
	return s, nil
}

// Seq returns the sequence number of the state.
func (s *Snapshot) Seq() format.SeqNum { return s.seq }

// Release lets go of the state. It may be called more than once, but not while
// the snapshot is read.
func (s *Snapshot) Release() {
	if !s.released.Swap(true) {
		s.view.db.count(countSnapshots, -1)
		s.view.release()
	}
}

// hold returns the view and sequence number to read from: those of snap or, if
// it is nil, of now.
func (db *DB) hold(snap *Snapshot) (*view, format.SeqNum, error) {
	if db.closed.Load() {
		return nil, 0, ErrClosed
	}
	if snap == nil {
		return db.acquire()
	}
	if snap.released.Load() || !snap.view.hold() {
		return nil, 0, ErrClosed
	}
	return snap.view, snap.seq, nil
}

// Get appends the value of key to dst. A missing key is ErrNotFound.
func (db *DB) Get(dst, key []byte, snap *Snapshot) ([]byte, error) {
	trailer, ok, err := db.find(key, snap, &dst)
	if err == nil && (!ok || format.Kind(trailer) != format.KindPut) {
		err = ErrNotFound
	}
	return dst, err
}

// GetEntry returns the value of key and its sequence number.
func (db *DB) GetEntry(key []byte, snap *Snapshot) (value []byte, seq format.SeqNum, err error) {
	trailer, ok, err := db.find(key, snap, &value)
	if err == nil && (!ok || format.Kind(trailer) != format.KindPut) {
		return nil, 0, ErrNotFound
	}
	return value, format.SeqNum(trailer >> 8), err
}

// Has reports whether key exists.
func (db *DB) Has(key []byte, snap *Snapshot) (bool, error) {
	trailer, ok, err := db.find(key, snap, nil)
	return ok && format.Kind(trailer) == format.KindPut, err
}

// Newest returns the sequence number of the newest entry of key, 0 if there is
// none or it is a deletion.
func (db *DB) Newest(key []byte, snap *Snapshot) (format.SeqNum, error) {
	trailer, ok, err := db.find(key, snap, nil)
	if !ok || err != nil || format.Kind(trailer) == format.KindDelete {
		return 0, err
	}
	return format.SeqNum(trailer >> 8), nil
}

func (db *DB) find(key []byte, snap *Snapshot, dst *[]byte) (trailer uint64, ok bool, err error) {
	err = vfs.Guard(func() error {
		v, seq, err := db.hold(snap)
		if err != nil {
			return err
		}
		trailer, ok, err = v.get(key, seq, dst)
		v.release()
		db.count(countGets, 1)
		return err
	})
	return trailer, ok, faulted(err)
}

// faulted gives a fault in mapped memory its name. A view that was held then is
// never released: what it had mapped is lost anyway.
func faulted(err error) error {
	if errors.Is(err, vfs.ErrFault) {
		return fmt.Errorf("%w: %w", ErrCorrupted, err)
	}
	return err
}

// get finds the newest entry of key that is not newer than seq. If it is a put
// and dst is not nil, the value is appended to *dst: what it is a copy of is
// not there any longer than it is held.
func (v *view) get(key []byte, seq format.SeqNum, dst *[]byte) (trailer uint64, ok bool, err error) {
	value, trailer, ok, err := v.mem.Get(key, seq)
	if !ok && err == nil && v.imm != nil {
		value, trailer, ok, err = v.imm.Get(key, seq)
	}
	if ok || err != nil {
		keep(dst, value, trailer)
		return trailer, ok, err
	}
	var vain *file // the first that was looked into in vain
	vainLevel, looked := 0, 0
	for level, files := range v.version.levels {
		i, end := 0, len(files)
		if level > 0 && end > 0 {
			i = search(files, key)
			end = min(i+1, end)
		}
		for ; i < end; i++ {
			f := files[i]
			if bytes.Compare(key, f.smallest()) < 0 || level == 0 && bytes.Compare(key, f.largest()) > 0 {
				continue
			}
			t, err := v.db.tables.get(f)
			if err != nil {
				return 0, false, err
			}
			s := scratches.Get().(*sstable.Scratch)
			value, trailer, ok, err := t.Get(key, seq, s)
			if ok {
				keep(dst, value, trailer)
			}
			scratches.Put(s)
			t.unref()
			if ok || err != nil {
				if looked > 0 {
					v.db.charge(vain, vainLevel)
				}
				return trailer, ok, err
			}
			if looked++; looked == 1 {
				vain, vainLevel = f, level
			}
		}
	}
	if looked > 1 {
		v.db.charge(vain, vainLevel)
	}
	return 0, false, nil
}

// scratches are memory for blocks that are not kept.
var scratches = sync.Pool{New: func() any { return new(sstable.Scratch) }}

func keep(dst *[]byte, value []byte, trailer uint64) {
	if dst == nil || format.Kind(trailer) != format.KindPut {
		return
	}
	if *dst == nil {
		*dst = make([]byte, 0, len(value)) // an empty value is not nil
	}
	*dst = append(*dst, value...)
}

// charge notes that a get looked into f in vain, and had to look into another
// table. If that has been so often that compacting f is cheaper, the leader is
// told.
func (db *DB) charge(f *file, level int) {
	if f.seeks.Add(-1) == 0 && level < numLevels-1 {
		db.ctl.Hint(level, f.Num)
	}
}
