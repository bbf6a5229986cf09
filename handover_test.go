package party_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/dbtest"
)

// Property: an iterator of the handle that leads goes on when that hands over,
// or fails if it must not read a second state; whichever, it misses nothing and
// repeats nothing. That of a member reads on in its one state.
func TestIteratorOverHandover(t *testing.T) {
	eachSharing(t, testIteratorOverHandover)
}

func testIteratorOverHandover(t *testing.T, s sharing) {
	ctx := context.Background()
	const n = 5000
	for _, c := range []struct {
		name     string
		iterator func(db *party.DB) *party.Iterator
		want     error
	}{
		{"plain", func(db *party.DB) *party.Iterator {
			return db.Iterator(ctx, party.IteratorOptions{})
		}, nil},
		{"one state", func(db *party.DB) *party.Iterator {
			return db.Iterator(ctx, party.IteratorOptions{OneState: true})
		}, party.ErrConnectionLost},
		{"snapshot", func(db *party.DB) *party.Iterator {
			s, err := db.Snapshot(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return s.Iterator(ctx, party.IteratorOptions{})
		}, party.ErrSnapshotLost},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := dbtest.Dir(t)
			db := openAs(t, party.Leader, dir, &s.options)
			if s.memory() {
				c.want = nil
			}
			var b party.Batch
			for i := range n {
				b.Put(fmt.Appendf(nil, "%06d", i), make([]byte, 100))
			}
			if err := db.Write(ctx, &b); err != nil {
				t.Fatal(err)
			}
			// An iterator over what is in memory outlives the database.
			if err := db.CompactRange(ctx, party.Range{}); err != nil {
				t.Fatal(err)
			}
			it := c.iterator(db)
			defer it.Close()
			read := func(most int) (count int) {
				for count < most && it.Next() {
					count++
				}
				return count
			}
			seen := read(10)
			next := open(t, dir, s.with(party.Options{Lead: party.LeadFirst}))
			waitRole(t, next, party.Leader)
			waitRole(t, db, s.beside)
			// What is deleted now is still in the state that a member reads.
			if s.memory() {
				must(t, next.Clear(ctx, party.ClearOptions{}))
			}
			seen += read(n)
			if err := it.Err(); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if (seen == n) != (c.want == nil) {
				t.Errorf("%d entries of %d", seen, n)
			}
		})
	}
}
