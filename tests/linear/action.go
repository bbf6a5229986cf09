//go:build unix

package linear

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/levelparty/party"
)

// actions are the operations that clients choose from, by weight.
//
// To add one: write a method that calls c.do with the writes it is going to make
// and a function that makes them and says what it saw. The model needs nothing
// new:
//
//   - CompareAndSwap is Reads of the old value and Writes of the new one; if it
//     answers that the value was another, Writes nil and Differs.
//   - PutIfAbsent is the same with the old value 0.
//   - Update is what increment does between Begin and Commit: what fn read and
//     what it is about to write, put on record before fn returns. If fn is called
//     again, Reads and Writes begin anew.
var actions = []struct {
	weight int
	run    func(*client)
}{
	{24, (*client).get},
	{3, (*client).has},
	{6, (*client).getMany},
	{24, (*client).put},
	{6, (*client).del},
	{10, (*client).batch},
	{8, (*client).increment},
	{8, (*client).scan},
	{3, (*client).walk},
	{8, (*client).snapshot},
	{1, (*client).clear},
}

func (c *client) choose() func(*client) {
	total := 0
	for _, a := range actions {
		total += a.weight
	}
	n := c.rnd.IntN(total)
	for _, a := range actions {
		if n -= a.weight; n < 0 {
			return a.run
		}
	}
	panic("unreachable")
}

func (c *client) key() int { return c.rnd.IntN(c.Keys) }

// keys returns some keys, each once.
func (c *client) keys(least int) []int {
	all := c.rnd.Perm(c.Keys)
	return all[:least+c.rnd.IntN(len(all)-least+1)]
}

// saw adds what a read of key answered.
func (o *Op) saw(key int, value []byte, err error) error {
	if err != nil && !errors.Is(err, party.ErrNotFound) {
		return err
	}
	if err != nil {
		value = nil
	} else if value == nil {
		value = []byte{}
	}
	id, err := parse(value)
	if err != nil {
		return err
	}
	o.Reads = append(o.Reads, Read{Key: key, Value: id})
	return nil
}

func (c *client) get() {
	key := c.key()
	c.do(Op{Kind: "get"}, false, func(ctx context.Context, o *Op) error {
		v, err := c.db.Get(ctx, Key(key))
		return o.saw(key, v, err)
	})
}

func (c *client) has() {
	key := c.key()
	c.do(Op{Kind: "has"}, false, func(ctx context.Context, o *Op) error {
		ok, err := c.db.Has(ctx, Key(key))
		if err != nil {
			return err
		}
		o.Reads = append(o.Reads, Read{Key: key, Any: ok})
		return nil
	})
}

func (c *client) getMany() {
	keys := c.keys(2)
	c.do(Op{Kind: "getmany"}, false, func(ctx context.Context, o *Op) error {
		return o.sawMany(ctx, c.db, keys)
	})
}

func (o *Op) sawMany(ctx context.Context, r many, keys []int) error {
	names := make([][]byte, len(keys))
	for i, key := range keys {
		names[i] = Key(key)
	}
	values, err := r.GetMany(ctx, names)
	if err != nil {
		return err
	}
	for i, key := range keys {
		if values[i] == nil {
			err = party.ErrNotFound
		} else {
			err = nil
		}
		if err := o.saw(key, values[i], err); err != nil {
			return err
		}
	}
	return nil
}

type many interface {
	GetMany(ctx context.Context, keys [][]byte) ([][]byte, error)
}

func (c *client) writeOptions() party.WriteOptions {
	return party.WriteOptions{Sync: c.rnd.IntN(30) == 0}
}

func (c *client) put() {
	key, id, wo := c.key(), c.fresh(), c.writeOptions()
	c.do(Op{Kind: "put", Writes: []Write{{key, id}}}, false, func(ctx context.Context, o *Op) error {
		return c.db.Put(ctx, Key(key), Value(id), wo)
	})
}

func (c *client) del() {
	key, wo := c.key(), c.writeOptions()
	c.do(Op{Kind: "delete", Writes: []Write{{key, 0}}}, false, func(ctx context.Context, o *Op) error {
		return c.db.Delete(ctx, Key(key), wo)
	})
}

// writes returns writes of the keys, and now and then of one of them twice.
func (c *client) writes(keys []int) []Write {
	if c.rnd.IntN(4) == 0 {
		keys = append(slices.Clone(keys), keys[0])
	}
	var writes []Write
	for _, key := range keys {
		w := Write{Key: key}
		if c.rnd.IntN(5) > 0 {
			w.Value = c.fresh()
		}
		writes = append(writes, w)
	}
	return writes
}

func batchOf(writes []Write) *party.Batch {
	var b party.Batch
	for _, w := range writes {
		if w.Value == 0 {
			b.Delete(Key(w.Key))
		} else {
			b.Put(Key(w.Key), Value(w.Value))
		}
	}
	return &b
}

func (c *client) batch() {
	writes, wo := c.writes(c.keys(2)), c.writeOptions()
	c.do(Op{Kind: "batch", Writes: writes}, false, func(ctx context.Context, o *Op) error {
		return c.db.Write(ctx, batchOf(writes), wo)
	})
}

// increment reads keys and writes some of them while nobody else writes.
func (c *client) increment() {
	keys, pause, many, discard := c.keys(1), c.pause(2), c.rnd.IntN(2) == 0, c.rnd.IntN(6) == 0
	writes, wo := c.writes(keys[:1+c.rnd.IntN(len(keys))]), c.writeOptions()
	c.do(Op{Kind: "increment"}, true, func(ctx context.Context, o *Op) error {
		x, err := c.db.Begin(ctx)
		if err != nil {
			return err
		}
		defer x.Discard()
		for i, key := range keys {
			if i == 1 {
				time.Sleep(pause)
			}
			if many && i > 0 {
				if err := o.sawMany(ctx, c.db, keys[i:]); err != nil {
					return err
				}
				break
			}
			v, err := c.db.Get(ctx, Key(key))
			if err := o.saw(key, v, err); err != nil {
				return err
			}
		}
		if discard {
			// Nobody tells whether the right had been lost meanwhile.
			o.Kind, o.Apart = "discard", true
			return nil
		}
		o.Writes = writes
		c.history.Write(o)
		return x.Commit(ctx, batchOf(writes), wo)
	})
}

// pause is mostly none, and else up to so many milliseconds.
func (c *client) pause(most int) time.Duration {
	if c.rnd.IntN(3) > 0 {
		return 0
	}
	return time.Duration(c.rnd.IntN(most*1000)) * time.Microsecond
}

// part is a part of the hot keys, with bounds of all forms.
type part struct {
	low, high int // both included
	o         party.IteratorOptions
}

func (c *client) part() part {
	p := part{low: c.key(), high: c.key()}
	if p.low > p.high || c.rnd.IntN(2) == 0 {
		p.low, p.high = 0, c.Keys-1
	}
	if c.rnd.IntN(2) == 0 {
		p.o.GTE = Key(p.low)
	} else {
		p.o.GT = []byte(fmt.Sprintf("g%s", keyName(p.low)))
		if p.low > 0 {
			p.o.GT = append(Key(p.low-1), 0xff)
		}
	}
	if c.rnd.IntN(2) == 0 {
		p.o.LTE = Key(p.high)
	} else {
		p.o.LT = append(Key(p.high), 0)
	}
	p.o.Reverse = c.rnd.IntN(2) == 0
	if c.rnd.IntN(4) == 0 {
		p.o.Limit = 1 + c.rnd.IntN(c.Keys)
	}
	return p
}

// sawPart adds what an iterator over p answers: also that what it does not show
// is not there.
func (o *Op) sawPart(ctx context.Context, r party.Reader, p part) error {
	next, end, step := p.low, p.high+1, 1
	if p.o.Reverse {
		next, end, step = p.high, p.low-1, -1
	}
	it := r.Iterator(ctx, p.o)
	defer it.Close()
	n := 0
	var last []byte
	for it.Next() {
		n++
		if c := bytes.Compare(last, it.Key()); last != nil && c != -step {
			return fmt.Errorf("%w: %q follows %q", errLie, it.Key(), last)
		}
		last = bytes.Clone(it.Key())
		key, ok := hotKey(last)
		if !ok {
			continue
		}
		for ; next != end && next != key; next += step {
			o.Reads = append(o.Reads, Read{Key: next})
		}
		if next == end {
			return fmt.Errorf("%w: %q is not within %+v", errLie, last, p)
		}
		if err := o.saw(key, it.Value(), nil); err != nil {
			return err
		}
		next += step
	}
	if err := it.Err(); err != nil {
		return err
	}
	if p.o.Limit > 0 && n > p.o.Limit {
		return fmt.Errorf("%w: %d entries, limit %d", errLie, n, p.o.Limit)
	}
	for ; next != end; next += step {
		if n == p.o.Limit && n > 0 && bytes.Compare(Key(next), last) == step {
			break // not come to
		}
		o.Reads = append(o.Reads, Read{Key: next})
	}
	return nil
}

// scan reads one state by an iterator.
func (c *client) scan() {
	p := c.part()
	p.o.OneState = true
	c.do(Op{Kind: "scan"}, true, func(ctx context.Context, o *Op) error {
		return o.sawPart(ctx, c.db, p)
	})
}

// walk reads by an iterator that goes on with the next leader, and then on that
// one's state.
func (c *client) walk() {
	p := c.part()
	c.do(Op{Kind: "walk", Apart: true}, false, func(ctx context.Context, o *Op) error {
		return o.sawPart(ctx, c.db, p)
	})
}

// snapshot reads the state of one instant, some of it later. What it saw before
// its leader was lost it saw.
func (c *client) snapshot() {
	p, way, pause := c.part(), c.rnd.IntN(3), c.pause(10)
	c.do(Op{Kind: "snapshot"}, false, func(ctx context.Context, o *Op) error {
		s, err := c.db.Snapshot(ctx)
		if err != nil {
			return err
		}
		o.Return = now()
		defer s.Close()
		time.Sleep(pause)
		switch way {
		case 0:
			for key := range c.Keys {
				v, e := s.Get(ctx, Key(key))
				if err = o.saw(key, v, e); err != nil {
					break
				}
			}
		case 1:
			err = o.sawMany(ctx, s, c.rnd.Perm(c.Keys))
		default:
			err = o.sawPart(ctx, s, p)
		}
		if errors.Is(err, party.ErrSnapshotLost) {
			return nil
		}
		return err
	})
}

// clear deletes a part of the keys, each at an instant of its own. What others put
// meanwhile may be deleted too: after a leader was lost it looks for keys again.
func (c *client) clear() {
	p := c.part()
	p.o.Limit = 0
	o := Op{Kind: "clear", Apart: true, Again: true}
	for key := p.low; key <= p.high; key++ {
		o.Writes = append(o.Writes, Write{Key: key})
	}
	c.do(o, false, func(ctx context.Context, o *Op) error {
		return c.db.Clear(ctx, party.ClearOptions{Range: p.o.Range, Reverse: p.o.Reverse, WriteOptions: c.writeOptions()})
	})
}
