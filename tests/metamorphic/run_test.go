package metamorphic

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/dbtest"
)

// opTime is how long an operation may take.
const opTime = 20 * time.Second

// database is the real thing.
type database struct {
	config    config
	dir       string
	handles   []*party.DB
	turn      int
	snapshots [slots]*party.Snapshot
	owners    [slots]*party.DB // of the snapshots
	iterators [slots]*party.Iterator
	of        [slots]int // the snapshots that the iterators are of, or -1
}

func openDatabase(dir string, c config) (*database, error) {
	d := &database{config: c, dir: dir}
	for range c.handles {
		if err := d.open(); err != nil {
			return d, err
		}
	}
	return d, nil
}

func (d *database) open() error {
	ctx, cancel := context.WithTimeout(context.Background(), opTime)
	defer cancel()
	var o party.Options
	if d.config.options != nil {
		o = d.config.options()
	}
	db, err := party.Open(ctx, d.dir, &o)
	if err == nil {
		d.handles = append(d.handles, db)
	}
	return err
}

func (d *database) close() error {
	d.closeReaders()
	var errs []error
	for _, db := range d.handles {
		errs = append(errs, db.Close())
	}
	d.handles = nil
	return errors.Join(errs...)
}

func (d *database) closeReaders() {
	for i, it := range d.iterators {
		if it != nil {
			it.Close()
			d.iterators[i] = nil
		}
	}
	for i, s := range d.snapshots {
		if s != nil {
			s.Close()
			d.snapshots[i] = nil
		}
	}
}

// handle returns the handle for the next operation: the last one opened, which is
// a guest if there are several, or each in turn.
func (d *database) handle() *party.DB {
	if d.config.rotate {
		d.turn++
	} else {
		d.turn = len(d.handles) - 1
	}
	return d.handles[d.turn%len(d.handles)]
}

// at returns the place of o in db.
func at(db *party.DB, place int) (kv party.KV, sub *party.Sublevel, err error) {
	switch place {
	case 1:
		sub, err = db.Sublevel("s")
	case 2:
		if sub, err = db.Sublevel("s"); err == nil {
			sub, err = sub.Sublevel("t")
		}
	case 3:
		sub, err = db.Sublevel("s", party.SublevelOptions{Separator: "#"})
	default:
		return db, nil, nil
	}
	return sub, sub, err
}

// run carries o out and returns its answer in the model's words.
func (d *database) run(o op) string {
	answer, err := d.do(o)
	switch {
	case errors.Is(err, party.ErrNotFound):
		return missing
	case err != nil:
		return "error: " + err.Error()
	}
	return answer
}

func (d *database) do(o op) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), opTime)
	defer cancel()
	if o.kind == reopen {
		return ok, d.reopen()
	}
	if o.snap >= 0 && d.snapshots[o.snap] == nil {
		return "", nil
	}
	db := d.handle()
	kv, sub, err := at(db, o.place)
	if err != nil {
		return "", err
	}
	var from party.Reader = kv
	if o.snap >= 0 {
		if from = d.snapshots[o.snap]; sub != nil {
			// A sublevel of the handle that the snapshot is of.
			if _, sub, err = at(d.owners[o.snap], o.place); err != nil {
				return "", err
			}
			from = sub.At(d.snapshots[o.snap])
		}
	}
	wo := party.WriteOptions{Sync: o.sync}
	switch o.kind {
	case put:
		return ok, kv.Put(ctx, o.key, o.value.bytes(), wo)
	case del:
		return ok, kv.Delete(ctx, o.key, wo)
	case write:
		return ok, db.Write(ctx, d.batch(o.writes), wo)
	case fill:
		return ok, db.Write(ctx, d.batch(o.filling()), wo)
	case get:
		v, err := from.Get(ctx, o.key)
		return short(v), err
	case has:
		there, err := from.Has(ctx, o.key)
		return fmt.Sprint(there), err
	case getMany:
		values, err := from.GetMany(ctx, o.keys)
		var all []string
		for _, v := range values {
			if v == nil {
				all = append(all, missing)
			} else {
				all = append(all, short(v))
			}
		}
		return strings.Join(all, ", "), err
	case clearRange:
		return ok, kv.Clear(ctx, party.ClearOptions{Range: o.o.Range, Limit: o.o.Limit, Reverse: o.o.Reverse, WriteOptions: wo})
	case scan:
		it := from.Iterator(ctx, o.o)
		defer it.Close()
		var all []string
		for it.Next() {
			all = append(all, short(it.Key())+" = "+short(it.Value()))
		}
		return strings.Join(all, "\n"), it.Err()
	case exclusive:
		x, err := db.Begin(ctx)
		if err != nil {
			return "", err
		}
		defer x.Discard()
		answer := missing
		v, err := db.Get(ctx, o.key)
		if err == nil {
			answer = short(v)
		} else if !errors.Is(err, party.ErrNotFound) {
			return "", err
		}
		if o.discard {
			return answer, nil
		}
		return answer, x.Commit(ctx, d.batch(o.writes), wo)
	case newSnapshot:
		s, err := db.Snapshot(ctx)
		if err != nil {
			return "", err
		}
		d.closeSnapshot(o.slot)
		d.snapshots[o.slot], d.owners[o.slot] = s, db
	case closeSnapshot:
		if !d.closeSnapshot(o.slot) {
			return "", nil
		}
	case newIterator:
		if it := d.iterators[o.slot]; it != nil {
			it.Close()
		}
		// Its context must outlive the operation.
		d.iterators[o.slot], d.of[o.slot] = from.Iterator(context.Background(), o.o), o.snap
	case move:
		it := d.iterators[o.slot]
		if it == nil {
			return "", nil
		}
		var there bool
		switch o.step {
		case "First":
			there = it.First()
		case "Last":
			there = it.Last()
		case "Next":
			there = it.Next()
		case "Prev":
			there = it.Prev()
		case "Seek":
			there = it.Seek(o.key)
		}
		if !there {
			return "false", it.Err()
		}
		return short(it.Key()) + " = " + short(it.Value()), it.Err()
	case closeIterator:
		if d.iterators[o.slot] == nil {
			return "", nil
		}
		d.iterators[o.slot].Close()
		d.iterators[o.slot] = nil
	case compact:
		if d.config.compact {
			return ok, db.CompactRange(ctx, o.o.Range)
		}
	}
	return ok, nil
}

// closeSnapshot closes the snapshot in the slot, and its iterators.
func (d *database) closeSnapshot(slot int) bool {
	s := d.snapshots[slot]
	if s == nil {
		return false
	}
	for i, it := range d.iterators {
		if it != nil && d.of[i] == slot {
			it.Close()
			d.iterators[i] = nil
		}
	}
	s.Close()
	d.snapshots[slot] = nil
	return true
}

func (d *database) batch(writes []put1) *party.Batch {
	var b party.Batch
	for _, w := range writes {
		switch key := []byte(full(w.place, w.key)); {
		case w.del && d.config.broken:
		case w.del:
			b.Delete(key)
		default:
			b.Put(key, w.value.bytes())
		}
	}
	return &b
}

// reopen closes the handle that leads and opens one anew, or all.
func (d *database) reopen() error {
	d.closeReaders()
	if !d.config.reopen {
		return nil
	}
	if d.turn++; d.turn%2 == 0 {
		if err := d.close(); err != nil {
			return err
		}
	} else {
		if err := d.handles[0].Close(); err != nil {
			return err
		}
		d.handles = d.handles[1:]
	}
	for len(d.handles) < d.config.handles {
		if err := d.open(); err != nil {
			return err
		}
	}
	return nil
}

// mismatch is the first answer that is not the model's.
type mismatch struct {
	at        int
	got, want string
}

// play runs the list against the database and the model. At the end everything is
// read, also after closing and opening.
func play(t testing.TB, c config, ops []op) (m *mismatch) {
	t.Helper()
	d, err := openDatabase(t.TempDir(), c)
	defer func() {
		err := d.close()
		if err == nil {
			err = dbtest.Sound(d.dir)
		}
		if err != nil && m == nil {
			m = &mismatch{len(ops), "close and check: " + err.Error(), ok}
		}
	}()
	if err != nil {
		return &mismatch{0, "open: " + err.Error(), ok}
	}
	model := newModel()
	check := func(i int, o op) *mismatch {
		want := model.run(o)
		if got := d.run(o); got != want {
			return &mismatch{i, got, want}
		}
		return nil
	}
	all := []op{
		{kind: scan, snap: -1}, {kind: scan, snap: -1, o: party.IteratorOptions{Reverse: true}},
		{kind: reopen, snap: -1}, {kind: scan, snap: -1}, {kind: scan, snap: -1, place: 1, o: party.IteratorOptions{Reverse: true}},
	}
	for i, o := range ops {
		if m := check(i, o); m != nil {
			return m
		}
	}
	for _, o := range all {
		if m := check(len(ops), o); m != nil {
			return m
		}
	}
	return nil
}
