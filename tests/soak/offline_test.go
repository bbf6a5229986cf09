//go:build linux

package soak

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/syndtr/goleveldb/leveldb"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/partytest"
)

// Property 9: when all were killed at once, the check finds nothing wrong; C++
// LevelDB, goleveldb and party read the same; all of what is said of single reads
// is so of what they read; and the check finds nothing wrong with what each of them
// makes of the directory.

// offline looks at what the dead have left. The next ones go on with it.
func (r *run) offline(t *testing.T) {
	if err := r.judgeDead(t); err != nil {
		r.lie("with nobody alive: %v", err)
	}
}

func (r *run) judgeDead(t *testing.T) error {
	if err := checkDead(r.dir); err != nil {
		return err
	}
	r.count(func(t *tally) { t.offline++ })
	ours, err := readOurs(r.dir, &party.Options{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if err := r.judgeAll(ours); err != nil {
		return err
	}
	opinions := []struct {
		of   string
		read func(dir string) (map[string]string, error)
	}{
		{"goleveldb", func(dir string) (map[string]string, error) {
			if r.board.nodeLed() {
				// What C++ LevelDB leaves when it is killed goleveldb may not read in
				// full. It does when party had the directory.
				if _, err := readOurs(dir, new(party.Options)); err != nil {
					return nil, err
				}
			}
			return readGoleveldb(dir)
		}},
		{"party, opened to write", func(dir string) (map[string]string, error) {
			return readOurs(dir, &party.Options{WriteBuffer: 64 << 10})
		}},
		{"C++ LevelDB", func(dir string) (map[string]string, error) { return readLevelDB(t, dir) }},
	}
	if !r.node {
		opinions = opinions[:2]
	}
	for _, o := range opinions {
		dir := filepath.Join(t.TempDir(), "db")
		if err := copyFiles(dir, r.dir); err != nil {
			return err
		}
		theirs, err := o.read(dir)
		if err != nil {
			return fmt.Errorf("%s: %w", o.of, err)
		}
		if err := same(theirs, ours); err != nil {
			return fmt.Errorf("%s: %w", o.of, err)
		}
		if err := checkDead(dir); err != nil {
			return fmt.Errorf("behind %s: %w", o.of, err)
		}
		r.count(func(t *tally) { t.opinions++ })
	}
	return nil
}

func checkDead(dir string) error {
	rep, err := party.Check(context.Background(), dir)
	if err == nil {
		err = rep.Err()
	}
	if err == nil && rep.Live {
		err = fmt.Errorf("somebody is said to live")
	}
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	return nil
}

// judgeAll judges all entries, with nobody alive.
func (r *run) judgeAll(entries map[string]string) error {
	value := func(key []byte) []byte {
		if v, ok := entries[string(key)]; ok {
			return []byte(v)
		}
		return nil
	}
	values := func(keys [][]byte) (values [][]byte) {
		for _, key := range keys {
			values = append(values, value(key))
		}
		return values
	}
	for slot := range slots {
		for gen := r.board.gen(slot); r.board.holds(slot, gen); gen-- {
			for e := range ownKeys {
				m, key := r.board.mark(slot, gen, e), ownKey(slot, gen, e)
				if err := judgeOwn(key, value(key), m.acked(), m.intent()); err != nil {
					return err
				}
			}
			var keys [][]byte
			for i := range batchKeys {
				keys = append(keys, batchKey(slot, gen, i))
			}
			m := r.board.mark(slot, gen, markBatch)
			if err := judgeBatch(keys, values(keys), m.acked(), m.intent()); err != nil {
				return err
			}
		}
	}
	if _, err := judgeBank(accountKeys(), values(accountKeys())); err != nil {
		return err
	}
	least := make(map[string]uint64)
	for slot := range slots {
		for gen := r.board.gen(slot); r.board.holds(slot, gen); gen-- {
			least[string(partKey(slot, gen))] = r.board.mark(slot, gen, markCount).acked()
		}
	}
	var counts []party.Entry
	for key, v := range entries {
		if bytes.HasPrefix([]byte(key), []byte("count/")) {
			counts = append(counts, party.Entry{Key: []byte(key), Value: []byte(v)})
		}
		if err := judgeEntry([]byte(key), []byte(v)); err != nil {
			return err
		}
	}
	if err := judgeCounts(counts, r.board, least); err != nil {
		return err
	}
	for i := range fixed {
		if !bytes.Equal(value(fixedKey(i)), stamped(fixedKey(i), stamp{uint64(i), 0})) {
			return lieOf("%s=%.80q", fixedKey(i), value(fixedKey(i)))
		}
	}
	for c := range sharedCounters {
		key := sharedKey(c)
		atLeast, atMost := r.board.counted(c)
		if err := judgeShared(key, value(key), atLeast, atMost); err != nil {
			return err
		}
		n, err := number(value(key))
		if err != nil {
			return err
		}
		r.board.settle(c, n)
	}
	return nil
}

func same(theirs, ours map[string]string) error {
	for key, v := range ours {
		if got, ok := theirs[key]; !ok || got != v && got != hex(v) {
			return lieOf("it reads %s=%.80q (there: %v), we %.80q; %d entries, we %d", key, got, ok, v, len(theirs), len(ours))
		}
	}
	if len(theirs) != len(ours) {
		return lieOf("it reads %d entries, we %d", len(theirs), len(ours))
	}
	return nil
}

// hex is what C++ LevelDB's process tells of a value.
func hex(v string) string { return fmt.Sprintf("sha256 %x", sha256.Sum256([]byte(v))) }

func readOurs(dir string, o *party.Options) (map[string]string, error) {
	ctx := context.Background()
	o.MustExist = true
	db, err := party.Open(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	m := make(map[string]string)
	for e, err := range party.All(ctx, db, party.IteratorOptions{}) {
		if err != nil {
			return nil, err
		}
		m[string(e.Key)] = string(e.Value)
	}
	return m, db.Close()
}

func readGoleveldb(dir string) (map[string]string, error) {
	db, err := leveldb.OpenFile(dir, nil)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	m := make(map[string]string)
	it := db.NewIterator(nil, nil)
	for it.Next() {
		m[string(it.Key())] = string(it.Value())
	}
	it.Release()
	return m, it.Error()
}

// readLevelDB has C++ LevelDB read, which tells hashes of the values.
func readLevelDB(t *testing.T, dir string) (map[string]string, error) {
	p := partytest.Node(t, filepath.Join("..", "tests", "compat", "dump.js"))
	defer p.Kill()
	p.Order(dir)
	var got struct {
		Entries []string
		Error   string
	}
	p.Expect(&got)
	if got.Error != "" {
		return nil, fmt.Errorf("%s", got.Error)
	}
	m := make(map[string]string)
	for _, e := range got.Entries {
		key, hash, _ := bytes.Cut([]byte(e), []byte("="))
		m[string(key)] = "sha256 " + string(hash)
	}
	return m, nil
}

// copyFiles copies a directory's files, and not its sockets.
func copyFiles(to, from string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		if err := copyFile(filepath.Join(to, e.Name()), filepath.Join(from, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err := out.Close(); err != nil {
		return err
	}
	return err
}
