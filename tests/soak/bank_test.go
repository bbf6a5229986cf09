//go:build linux

package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/levelparty/party"
)

// Property 3: money moves between accounts by Update, and by Begin and Commit;
// in every state that anybody reads the sum is the same. And an account's
// transfers are numbered: nobody sees an earlier one behind a later one.

const (
	accounts = 40
	wealth   = 1000 // of each account at first
)

// account is what an account's value says.
type account struct {
	balance   int64
	transfers uint64
}

func (a account) value() []byte { return fmt.Appendf(nil, "%d/%d", a.balance, a.transfers) }

func parseAccount(key, value []byte) (a account, err error) {
	balance, transfers, ok := bytes.Cut(value, []byte("/"))
	a.balance, err = strconv.ParseInt(string(balance), 10, 64)
	if err == nil {
		a.transfers, err = strconv.ParseUint(string(transfers), 10, 64)
	}
	if err != nil || !ok {
		return a, lieOf("%s has a value that nobody wrote: %.80q", key, value)
	}
	return a, nil
}

// openAccounts puts what there is at first.
func openAccounts(b *party.Batch) {
	for i := range accounts {
		b.Put(accountKey(i), account{wealth, 0}.value())
	}
}

func accountKeys() (keys [][]byte) {
	for i := range accounts {
		keys = append(keys, accountKey(i))
	}
	return keys
}

// bank moves money and looks at all accounts.
func (w *worker) bank(rnd *rand.Rand) {
	var last [accounts]uint64 // transfers that were seen
	keys := accountKeys()
	for w.goesOn(rnd, 15*time.Millisecond) {
		from, to := rnd.IntN(accounts), rnd.IntN(accounts-1)
		if to >= from {
			to++
		}
		amount, o := rnd.Int64N(50), syncSometimes(rnd)
		w.wrote(100)
		if rnd.IntN(8) == 0 {
			_ = w.do("transfer alone", func(ctx context.Context) error { return once(w.transferAlone(ctx, from, to, amount, o)) })
		} else {
			_ = w.do("transfer", func(ctx context.Context) error {
				return once(w.db.Update(ctx, func(tx *party.Tx) error {
					return transfer(tx.Get, tx.Put, from, to, amount)
				}, o))
			})
		}
		if rnd.IntN(4) > 0 {
			continue
		}
		values, err := w.readState(rnd, keys)
		if err != nil {
			continue
		}
		found, err := judgeBank(keys, values)
		if err != nil {
			w.lie("%v", err)
			continue
		}
		for i, a := range found {
			if a.transfers < last[i] {
				w.lie("%s: transfer %d was seen, and %d after it", keys[i], last[i], a.transfers)
			}
			last[i] = a.transfers
		}
	}
}

func transfer(get func(key []byte) ([]byte, error), put func(key, value []byte) error, from, to int, amount int64) error {
	for i, amount := range map[int]int64{from: -amount, to: amount} {
		v, err := get(accountKey(i))
		if err != nil {
			return fmt.Errorf("%s: %w", accountKey(i), err)
		}
		a, err := parseAccount(accountKey(i), v)
		if err != nil {
			return err
		}
		if err := put(accountKey(i), account{a.balance + amount, a.transfers + 1}.value()); err != nil {
			return err
		}
	}
	return nil
}

// transferAlone does it while nobody else can write.
func (w *worker) transferAlone(ctx context.Context, from, to int, amount int64, o party.WriteOptions) error {
	x, err := w.db.Begin(ctx)
	if err != nil {
		return err
	}
	defer x.Discard()
	var b party.Batch
	get := func(key []byte) ([]byte, error) { return w.db.Get(ctx, key) }
	put := func(key, value []byte) error { b.Put(key, value); return nil }
	if err := transfer(get, put, from, to, amount); err != nil {
		return err
	}
	err = x.Commit(ctx, &b, o)
	if errors.Is(err, party.ErrClosed) && !w.closing.Load() {
		return fmt.Errorf("%w: commit: %w", errLie, err)
	}
	return err
}

// judgeBank looks whether the accounts are all there and their sum is right.
func judgeBank(keys, values [][]byte) (found []account, err error) {
	var sum int64
	for i, v := range values {
		if v == nil {
			return nil, lieOf("%s is missing", keys[i])
		}
		a, err := parseAccount(keys[i], v)
		if err != nil {
			return nil, err
		}
		found = append(found, a)
		sum += a.balance
	}
	if sum != accounts*wealth {
		return nil, lieOf("the accounts' sum is %d, not %d: %q", sum, accounts*wealth, values)
	}
	return found, nil
}
