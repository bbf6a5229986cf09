//go:build linux

package soak

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/levelparty/party"
)

// Property 6: an iterator returns each key of its range once and in order, both
// ways, whoever leads meanwhile; keys that nobody changes are all there, and no
// value is another key's or damaged. The ballast beside them is overwritten and
// deleted all the time, so that logs become tables and tables are compacted, and
// what is there stays about the same.

const (
	fixed    = 400
	ballasts = 2500
)

// fill puts what there is at first.
func fill(b *party.Batch) {
	for i := range fixed {
		b.Put(fixedKey(i), stamped(fixedKey(i), stamp{uint64(i), 0}))
	}
	for i := range ballasts {
		b.Put(ballastKey(i), ballastValue(i, uint64(i)))
	}
}

// ballastValue is up to some thousand bytes, some of which cannot be compressed.
func ballastValue(i int, n uint64) []byte {
	v := stamped(ballastKey(i), stamp{n, 0})
	if n%4 > 0 {
		return v
	}
	rnd := rand.New(rand.NewPCG(n, uint64(i)))
	for range n % 3000 {
		v = append(v, byte(rnd.Uint32()))
	}
	return v
}

// churn overwrites and deletes ballast.
func (w *worker) churn(rnd *rand.Rand) {
	for w.goesOn(rnd, 12*time.Millisecond) {
		i := rnd.IntN(ballasts)
		switch {
		case rnd.IntN(2000) == 0:
			_ = w.do("compact", func(ctx context.Context) error { return w.db.CompactRange(ctx, prefix("ballast/")) })
		case rnd.IntN(8) == 0:
			w.wrote(20)
			_ = w.do("delete ballast", func(ctx context.Context) error { return w.db.Delete(ctx, ballastKey(i)) })
		default:
			v := ballastValue(i, rnd.Uint64N(1e6))
			w.wrote(len(v))
			_ = w.do("put ballast", func(ctx context.Context) error { return w.db.Put(ctx, ballastKey(i), v) })
		}
	}
}

// scan iterates.
func (w *worker) scan(rnd *rand.Rand) {
	for w.goesOn(rnd, 400*time.Millisecond) {
		reverse := rnd.IntN(2) == 0
		if rnd.IntN(4) > 0 {
			w.scanFixed(reverse)
		} else {
			w.scanAll(reverse)
		}
	}
}

func (w *worker) scanFixed(reverse bool) {
	seen := 0
	err := w.do("scan", func(ctx context.Context) error {
		for e, err := range party.All(ctx, w.db, party.IteratorOptions{Range: prefix("fixed/"), Reverse: reverse}) {
			if err != nil {
				return err
			}
			i := seen
			if reverse {
				i = fixed - 1 - seen
			}
			if string(e.Key) != string(fixedKey(i)) || string(e.Value) != string(stamped(e.Key, stamp{uint64(i), 0})) {
				return lieOf("%s=%.80q, want %s", e.Key, e.Value, fixedKey(i))
			}
			seen++
		}
		return nil
	})
	if err == nil && seen != fixed {
		w.lie("a scan found %d keys of %d", seen, fixed)
	}
}

func (w *worker) scanAll(reverse bool) {
	_ = w.do("scan all", func(ctx context.Context) error {
		last := ""
		for e, err := range party.All(ctx, w.db, party.IteratorOptions{Reverse: reverse}) {
			if err != nil {
				return err
			}
			if key := string(e.Key); last != "" && (key > last) == reverse || key == last {
				return lieOf("%s follows %s", key, last)
			}
			last = string(e.Key)
			if err := judgeEntry(e.Key, e.Value); err != nil {
				return err
			}
		}
		return nil
	})
}

// judgeEntry looks whether a value is its key's.
func judgeEntry(key, value []byte) error {
	var err error
	switch kind, _, _, _, ok := parseKey(key); {
	case ok && kind != "count":
		_, err = parseStamp(key, value)
	case len(key) > 8 && string(key[:8]) == "ballast/":
		if len(value) <= len(key) || string(value[:len(key)+1]) != string(key)+"=" {
			err = lieOf("%s has a value that nobody wrote: %.80q", key, value)
		}
	}
	return err
}
