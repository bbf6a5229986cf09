//go:build linux

package soak

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/levelparty/party"
)

// Property: what is wrong is found wrong, and what is right is not.
func TestJudges(t *testing.T) {
	b, err := openBoard(filepath.Join(t.TempDir(), "board"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	b.set(wordEra, 2)
	gen := b.begin(3)
	key := ownKey(3, gen, 1)
	write := func(n uint64) []byte { return stamped(key, stamp{n, 1}) }

	batch := func(numbers ...uint64) (keys, values [][]byte) {
		for i, n := range numbers {
			keys, values = append(keys, batchKey(3, gen, i)), append(values, nil)
			if n > 0 {
				values[i] = stamped(keys[i], stamp{n, 1})
			}
		}
		return keys, values
	}
	judgeNumbers := func(least, most uint64, numbers ...uint64) error {
		keys, values := batch(numbers...)
		return judgeBatch(keys, values, least, most)
	}
	bank := func(change func(values [][]byte)) error {
		var values [][]byte
		for range accounts {
			values = append(values, account{wealth, 0}.value())
		}
		change(values)
		_, err := judgeBank(accountKeys(), values)
		return err
	}
	m := b.mark(3, gen, markCount)
	m.intend(5)
	m.ack(4)
	counts := func(total, base, part uint64) error {
		return judgeCounts([]party.Entry{
			{Key: baseKey, Value: decimal(base)}, {Key: partKey(3, gen), Value: decimal(part)}, {Key: totalKey, Value: decimal(total)},
		}, b, map[string]uint64{string(partKey(3, gen)): 4})
	}
	changes := func(changes ...party.Change) error {
		r := &replay{
			Seq: 9, Era: 1, Values: make(map[string]uint64), Balance: make(map[string]int64), Own: make(map[string]stamp),
			sum: accounts * wealth,
		}
		for _, c := range changes {
			if err := r.apply(c, b); err != nil {
				return err
			}
		}
		return nil
	}
	put := func(seq uint64, value []byte) party.Change {
		return party.Change{Seq: seq, Key: key, Value: value, Last: true}
	}
	transferOf := func(amount int64) party.Change {
		return party.Change{Seq: 10, Key: accountKey(0), Value: account{amount, 1}.value(), Last: true}
	}

	for _, c := range []struct {
		what string
		err  error
		ok   bool
	}{
		{"the acknowledged write", judgeOwn(key, write(4), 4, 5), true},
		{"one that had begun", judgeOwn(key, write(5), 4, 5), true},
		{"an older write", judgeOwn(key, write(3), 4, 5), false},
		{"a newer write", judgeOwn(key, write(6), 4, 5), false},
		{"a lost write", judgeOwn(key, nil, 4, 5), false},
		{"no write", judgeOwn(key, nil, 0, 1), true},
		{"a deletion", judgeOwn(key, nil, 7, 7), true},
		{"a deletion that had begun", judgeOwn(key, nil, 6, 7), true},
		{"a damaged value", judgeOwn(key, append(write(4), 'x'), 4, 5), false},
		{"another key's value", judgeOwn(key, stamped(ownKey(3, gen, 2), stamp{4, 1}), 4, 5), false},

		{"a batch", judgeNumbers(3, 4, 3, 3, 3), true},
		{"half of a batch", judgeNumbers(3, 4, 3, 4, 4), false},
		{"a part of a batch", judgeNumbers(1, 4, 3, 3, 0), false},
		{"an older batch", judgeNumbers(4, 4, 3, 3, 3), false},
		{"a batch deleted", judgeNumbers(5, 6, 0, 0, 0), true},
		{"a batch lost", judgeNumbers(6, 6, 0, 0, 0), false},

		{"all accounts", bank(func([][]byte) {}), true},
		{"an account missing", bank(func(v [][]byte) { v[7] = nil }), false},
		{"half of a transfer", bank(func(v [][]byte) { v[7] = account{wealth - 1, 1}.value() }), false},

		{"counts", counts(10, 6, 4), true},
		{"a count that had begun", counts(11, 6, 5), true},
		{"a total twice", counts(11, 6, 4), false},
		{"an acknowledged count lost", counts(9, 6, 3), false},
		{"a count too many", counts(12, 6, 6), false},
		{"a shared counter", judgeShared(sharedKey(0), decimal(7), 7, 8), true},
		{"a shared counter that lost", judgeShared(sharedKey(0), decimal(6), 7, 8), false},
		{"a shared counter too far", judgeShared(sharedKey(0), decimal(9), 7, 8), false},

		{"changes", changes(put(10, write(1)), put(11, write(2))), true},
		{"a change left out", changes(put(10, write(1)), put(12, write(2))), false},
		{"a change twice", changes(put(10, write(1)), put(10, write(1))), false},
		{"a write left out", changes(put(10, write(1)), put(11, write(3))), false},
		{"a write applied twice", changes(put(10, write(1)), put(11, write(1))), false},
		{"a write tried again", changes(put(10, write(1)), put(11, stamped(key, stamp{1, 2}))), true},
		{"an old write back", changes(put(10, write(2)), put(11, write(1))), false},
		{"a deletion too early", changes(put(10, write(1)), put(11, nil)), false},
		{"a deletion watched", changes(put(10, write(6)), put(11, nil), put(12, write(8))), true},
		{"half of a transfer watched", changes(transferOf(5)), false},
	} {
		if ok := c.err == nil; ok != c.ok {
			t.Errorf("%s: %v", c.what, fmt.Sprint(c.err))
		}
	}
}
