//go:build linux

package soak

import (
	"bytes"
	"context"
	"encoding/gob"
	"hash/fnv"
	"os"

	"github.com/levelparty/party"
)

// replay is what the changes that were watched so far add up to: all but the
// ballast. It is saved from time to time, and a watcher's successor goes on where
// it ends.
type replay struct {
	Seq uint64 // of the last change
	// The era, and the bytes that had been written by all, at a time before the
	// change that is next.
	Era, Bytes uint64
	Values     map[string]uint64
	Balance    map[string]int64
	Own        map[string]stamp // Try is 0 if it is a deletion
	sum        int64
}

// hashed returns a hash that is the same in every process.
func hashed(v []byte) uint64 {
	h := fnv.New64a()
	h.Write(v)
	return h.Sum64()
}

// counts reports whether a key is replayed.
func counts(key []byte) bool { return !bytes.HasPrefix(key, []byte("ballast/")) }

// replayOf returns what is in a snapshot.
func replayOf(ctx context.Context, snap *party.Snapshot) (*replay, error) {
	r := &replay{
		Seq: snap.Seq(), Values: make(map[string]uint64), Balance: make(map[string]int64), Own: make(map[string]stamp),
	}
	for e, err := range party.All(ctx, snap, party.IteratorOptions{}) {
		if err != nil {
			return nil, err
		}
		if err := r.put(e.Key, e.Value); err != nil {
			return nil, err
		}
		if kind, _, _, _, ok := parseKey(e.Key); ok && kind == "own" {
			if r.Own[string(e.Key)], err = parseStamp(e.Key, e.Value); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

func (r *replay) put(key, value []byte) error {
	if !counts(key) {
		return nil
	}
	r.Values[string(key)] = hashed(value)
	if !bytes.HasPrefix(key, []byte("bank/")) {
		return nil
	}
	a, err := parseAccount(key, value)
	r.sum += a.balance - r.Balance[string(key)]
	r.Balance[string(key)] = a.balance
	return err
}

// apply applies a change, and judges it.
func (r *replay) apply(c party.Change, b *board) error {
	if c.Seq != r.Seq+1 {
		return lieOf("change %d (%s) follows %d", c.Seq, c.Key, r.Seq)
	}
	r.Seq = c.Seq
	if kind, slot, gen, _, ok := parseKey(c.Key); ok && kind == "own" {
		if err := r.applyOwn(c, slot, gen, b); err != nil {
			return err
		}
	}
	if c.Deleted() {
		if bytes.HasPrefix(c.Key, []byte("bank/")) || bytes.HasPrefix(c.Key, []byte("fixed/")) {
			return lieOf("change %d deletes %s", c.Seq, c.Key)
		}
		delete(r.Values, string(c.Key))
	} else {
		if err := judgeEntry(c.Key, c.Value); err != nil {
			return err
		}
		if err := r.put(c.Key, c.Value); err != nil {
			return err
		}
	}
	if c.Last && r.sum != accounts*wealth {
		return lieOf("behind change %d the accounts' sum is %d, not %d", c.Seq, r.sum, accounts*wealth)
	}
	return nil
}

// applyOwn judges a change of a key that one process writes: none of its writes is
// left out or comes twice. What is sent to a Node process can come twice.
func (r *replay) applyOwn(c party.Change, slot int, gen uint64, b *board) error {
	key := string(c.Key)
	last, known := r.Own[key]
	if c.Deleted() {
		switch {
		case b.gen(slot) >= gen+2:
			delete(r.Own, key) // it is forgotten
		case !known:
		case (last.N+1)%deleteEvery == 0:
			r.Own[key] = stamp{N: last.N + 1}
		case last.Try == 0: // once more
		default:
			return lieOf("change %d deletes %s behind write %v", c.Seq, key, last)
		}
		return nil
	}
	s, err := parseStamp(c.Key, c.Value)
	if err != nil {
		return err
	}
	again := s.N == last.N && (s.Try > last.Try || s.Try == last.Try && b.get(wordNodeEra) >= r.Era)
	if known && s.N != last.N+1 && !again {
		return lieOf("change %d of %s is write %v, behind %v", c.Seq, key, s, last)
	}
	r.Own[key] = s
	return nil
}

// compare looks whether a snapshot taken behind the last change is the same.
func (r *replay) compare(ctx context.Context, snap *party.Snapshot) error {
	other, err := replayOf(ctx, snap)
	if err != nil {
		return err
	}
	for key, hash := range other.Values {
		if now, ok := r.Values[key]; !ok || now != hash {
			return lieOf("%s in a snapshot at %d is not what was watched (%v)", key, r.Seq, ok)
		}
	}
	for key := range r.Values {
		if _, ok := other.Values[key]; !ok {
			return lieOf("%s was watched, and is not in a snapshot at %d", key, r.Seq)
		}
	}
	return nil
}

func (r *replay) save(path string) error {
	f, err := os.Create(path + ".tmp")
	if err != nil {
		return err
	}
	if err := gob.NewEncoder(f).Encode(r); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// loadReplay returns what was saved, nil if nothing was.
func loadReplay(path string) (*replay, error) {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := new(replay)
	if err := gob.NewDecoder(f).Decode(r); err != nil {
		return nil, err
	}
	for _, balance := range r.Balance {
		r.sum += balance
	}
	return r, nil
}
