package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
)

const (
	keySize   = 16
	valueSize = 100
)

// appendKey appends the i-th key: its number in decimal.
func appendKey(dst []byte, i int) []byte {
	var digits [20]byte
	d := strconv.AppendInt(digits[:0], int64(i), 10)
	for range keySize - len(d) {
		dst = append(dst, '0')
	}
	return append(dst, d...)
}

// values hands out values that no compressor makes smaller.
type values []byte

func newValues(seed uint64) values {
	v := make(values, 1<<20)
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	rand.NewChaCha8(key).Read(v)
	return v
}

func (v values) at(i int) []byte {
	at := i * 127 % (len(v) - valueSize)
	return v[at : at+valueSize : at+valueSize]
}

// template returns a LevelDB directory that holds keys keys, put in random order
// and compacted as LevelDB does of itself, so that its levels have the sizes
// that a database in use has. It is made once; who wants to change it uses a
// copy.
func (b *bench) template(keys int) (string, error) {
	dir := filepath.Join(b.tmp, fmt.Sprintf("template-%d", keys))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	progress("a database of %d keys", keys)
	err := withLevel(dir, func(db *leveldb.DB) error {
		var batch leveldb.Batch
		v := newValues(1)
		for n, i := range rand.New(rand.NewPCG(1, 1)).Perm(keys) {
			batch.Put(appendKey(nil, i), v.at(i))
			if batch.Len() == 1000 || n == keys-1 {
				if err := db.Write(&batch, nil); err != nil {
					return err
				}
				batch.Reset()
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	// What the log held is in a table after the next open.
	return dir, withLevel(dir, untilCompacted)
}

func withLevel(dir string, use func(*leveldb.DB) error) error {
	db, err := leveldb.OpenFile(dir, levelOptions())
	if err != nil {
		return err
	}
	return errors.Join(use(db), db.Close())
}

// untilCompacted waits until there is nothing to compact: goleveldb begins with
// four tables in level 0, and 100 MiB in level 1.
func untilCompacted(db *leveldb.DB) error {
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var s leveldb.DBStats
		if err := db.Stats(&s); err != nil {
			return err
		}
		due := len(s.LevelTablesCounts) > 0 && s.LevelTablesCounts[0] >= 4 ||
			len(s.LevelSizes) > 1 && s.LevelSizes[1] >= 100<<20
		if !due {
			return nil
		}
	}
	return errors.New("compaction does not end")
}

// copyTemplate makes dir a database of keys keys. It is on disk when
// copyTemplate returns, so that no sync that is measured later pays for it.
func (b *bench) copyTemplate(dir string, keys int) error {
	from, err := b.template(keys)
	if err != nil {
		return err
	}
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}
