package party_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/dbtest"
)

// txWays are the ways in which a handle reaches the database that others have
// open.
var txWays = map[string]*party.Options{
	"member": nil,
	"guest":  {Sockets: true},
}

// Property: updates of one counter by many handles and goroutines are each
// counted, whichever way the handles take.
func TestUpdateCounts(t *testing.T) {
	ctx := context.Background()
	dir := dbtest.Dir(t)
	handles := []*party.DB{open(t, dir, nil)}
	for _, o := range txWays {
		handles = append(handles, open(t, dir, o), open(t, dir, o))
	}
	const goroutines, each = 2, 100
	var wg sync.WaitGroup
	for _, db := range handles {
		for range goroutines {
			wg.Go(func() {
				for range each {
					err := db.Update(ctx, func(tx *party.Tx) error {
						v, err := tx.Get([]byte("counter"))
						if err != nil && !errors.Is(err, party.ErrNotFound) {
							return err
						}
						n := uint64(0)
						if err == nil {
							n = binary.BigEndian.Uint64(v)
						}
						return tx.Put([]byte("counter"), binary.BigEndian.AppendUint64(nil, n+1))
					})
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	v, err := handles[0].Get(ctx, []byte("counter"))
	if err != nil {
		t.Fatal(err)
	}
	if n := binary.BigEndian.Uint64(v); n != uint64(len(handles)*goroutines*each) {
		t.Errorf("counted %d, want %d", n, len(handles)*goroutines*each)
	}
}

// Property: an update that read a range is not applied if another process put a
// key into the range meanwhile.
func TestUpdateSeesPhantoms(t *testing.T) {
	ctx := context.Background()
	dir := dbtest.Dir(t)
	a, b := open(t, dir, nil), open(t, dir, nil)
	for _, reverse := range []bool{false, true} {
		tries := 0
		err := a.Update(ctx, func(tx *party.Tx) error {
			n := 0
			for _, err := range tx.All(party.IteratorOptions{Range: party.Range{GTE: []byte("r"), LT: []byte("s")}, Reverse: reverse}) {
				if err != nil {
					return err
				}
				n++
			}
			if tries++; tries == 1 {
				if err := b.Put(ctx, fmt.Appendf(nil, "r%v", reverse), nil); err != nil {
					return err
				}
			}
			return tx.Put([]byte("count"), fmt.Append(nil, n))
		})
		if err != nil || tries != 2 {
			t.Errorf("reverse %v: %v after %d tries, want 2", reverse, err, tries)
		}
	}
	if v, _ := b.Get(ctx, []byte("count")); string(v) != "2" {
		t.Errorf("count %s, want 2", v)
	}
}

func TestTxReadsItsWrites(t *testing.T) {
	ctx := context.Background()
	dir := dbtest.Dir(t)
	first := open(t, dir, nil)
	for name, o := range txWays {
		t.Run(name, func(t *testing.T) {
			db := open(t, dir, o)
			if err := db.Clear(ctx, party.ClearOptions{}); err != nil {
				t.Fatal(err)
			}
			for _, k := range []string{"a", "c", "e"} {
				if err := first.Put(ctx, []byte(k), []byte("old")); err != nil {
					t.Fatal(err)
				}
			}
			err := db.Update(ctx, func(tx *party.Tx) error {
				if err := errors.Join(tx.Put([]byte("b"), []byte("new")), tx.Delete([]byte("c")), tx.Put([]byte("e"), []byte("new"))); err != nil {
					return err
				}
				for reverse, want := range map[bool]string{false: "a=old b=new e=new ", true: "e=new b=new a=old "} {
					got := ""
					for e, err := range tx.All(party.IteratorOptions{Reverse: reverse}) {
						if err != nil {
							return err
						}
						got += fmt.Sprintf("%s=%s ", e.Key, e.Value)
					}
					if got != want {
						t.Errorf("reverse %v: %s, want %s", reverse, got, want)
					}
				}
				if _, err := tx.Get([]byte("c")); !errors.Is(err, party.ErrNotFound) {
					t.Errorf("deleted key: %v", err)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			stop := errors.New("stop")
			if err := db.Update(ctx, func(tx *party.Tx) error {
				return errors.Join(tx.Delete([]byte("a")), stop)
			}); !errors.Is(err, stop) {
				t.Errorf("got %v, want the function's error", err)
			}
			if err := db.View(ctx, func(tx *party.Tx) error {
				if v, err := tx.Get([]byte("a")); err != nil || string(v) != "old" {
					t.Errorf("a: %s, %v: a failed update was applied", v, err)
				}
				if err := tx.Put(nil, nil); !errors.Is(err, party.ErrReadOnly) {
					t.Errorf("put in a view: %v", err)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCompareAndSwap(t *testing.T) {
	ctx := context.Background()
	dir := dbtest.Dir(t)
	open(t, dir, nil)
	for name, o := range txWays {
		t.Run(name, func(t *testing.T) {
			db := open(t, dir, o)
			key := []byte(name)
			if ok, err := db.PutIfAbsent(ctx, key, nil); !ok || err != nil {
				t.Errorf("put of an absent key: %v, %v", ok, err)
			}
			if ok, err := db.PutIfAbsent(ctx, key, []byte("x")); ok || err != nil {
				t.Errorf("put of a present key: %v, %v", ok, err)
			}
			if ok, err := db.CompareAndSwap(ctx, key, []byte("other"), []byte("x")); ok || err != nil {
				t.Errorf("swap of another value: %v, %v", ok, err)
			}
			if ok, err := db.CompareAndSwap(ctx, key, []byte{}, []byte("x")); !ok || err != nil {
				t.Errorf("swap of the empty value: %v, %v", ok, err)
			}
			if ok, err := db.CompareAndSwap(ctx, key, []byte("x"), nil); !ok || err != nil {
				t.Errorf("swap for nothing: %v, %v", ok, err)
			}
			if ok, err := db.Has(ctx, key); ok || err != nil {
				t.Errorf("swapped for nothing, but has: %v, %v", ok, err)
			}
		})
	}
}
