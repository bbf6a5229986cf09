package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
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

// template returns a directory that holds keys keys, put in random order by the
// named peer in a process of its own, and, of LevelDB, compacted as that does of
// itself, so that its levels have the sizes that a database in use has. It is
// made once; who wants to change it uses a copy.
func (b *bench) template(peer string, keys int) (string, error) {
	dir := filepath.Join(b.tmp, fmt.Sprintf("template-%s-%d", peer, keys))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	progress("a database of %d keys by %s", keys, peer)
	if out, err := exec.Command(b.self, "fill", peer, dir, itoa(keys)).CombinedOutput(); err != nil {
		return "", fmt.Errorf("fill %s: %w\n%s", dir, err, out)
	}
	return dir, nil
}

// fillChild makes a database: fill PEER DIR KEYS.
func fillChild(args []string) (err error) {
	if len(args) != 3 {
		return errors.New("usage: fill PEER DIR KEYS")
	}
	p, err := findGoPeer(args[0])
	if err != nil {
		return err
	}
	keys, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	if err := os.Mkdir(args[1], 0o700); err != nil {
		return err
	}
	c, err := p.connect(args[1], job{Op: opFill, InFlight: 1})
	if err != nil {
		return err
	}
	if err := errors.Join(fill(c, keys), c.close()); err != nil || p.settle == nil {
		return err
	}
	return p.settle(args[1])
}

// fill puts keys keys, in random order.
func fill(c client, keys int) error {
	order := rand.New(rand.NewPCG(1, 1)).Perm(keys)
	v := newValues(1)
	for len(order) > 0 {
		n := min(1000, len(order))
		err := c.batch(n, func(i int) (key, value []byte) {
			return appendKey(nil, order[i]), v.at(order[i])
		})
		if err != nil {
			return err
		}
		order = order[n:]
	}
	return nil
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

// copyTemplate makes dir a database of keys keys that the named peer made. It is
// on disk when copyTemplate returns, so that no sync that is measured later pays
// for it.
func (b *bench) copyTemplate(dir, peer string, keys int) error {
	from, err := b.template(peer, keys)
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
