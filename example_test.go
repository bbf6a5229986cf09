package party_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/levelparty/party"
)

// exampleDB returns a database in a directory of its own, with some fruit in it.
func exampleDB(ctx context.Context) (db *party.DB, done func()) {
	dir, err := os.MkdirTemp("", "party")
	if err != nil {
		log.Fatal(err)
	}
	if db, err = party.Open(ctx, dir, nil); err != nil {
		log.Fatal(err)
	}
	var b party.Batch
	b.Put([]byte("apple"), []byte("red"))
	b.Put([]byte("banana"), []byte("yellow"))
	b.Put([]byte("cherry"), []byte("red"))
	b.Put([]byte("damson"), []byte("blue"))
	if err := db.Write(ctx, &b); err != nil {
		log.Fatal(err)
	}
	return db, func() {
		if err := errors.Join(db.Close(), os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}

// Two handles stand here for two programs: each does nothing but Open.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "party")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	one, err := party.Open(ctx, dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	other, err := party.Open(ctx, dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer other.Close()

	if err := other.Put(ctx, []byte("fruit"), []byte("apple")); err != nil {
		log.Fatal(err)
	}
	fruit, err := one.Get(ctx, []byte("fruit"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(fruit))

	// One goes, the other stays.
	if err := one.Close(); err != nil {
		log.Fatal(err)
	}
	fruit, err = other.Get(ctx, []byte("fruit"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(fruit))
	// Output:
	// apple
	// apple
}

func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "party")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	_, err = party.Open(ctx, dir, &party.Options{MustExist: true})
	if errors.Is(err, party.ErrNotExist) {
		fmt.Println("no database yet")
	}
	db, err := party.Open(ctx, dir, &party.Options{
		Lead:  party.LeadFirst, // this process lives longer than others
		Cache: 64 << 20,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	_, err = db.Get(ctx, []byte("fruit"))
	if errors.Is(err, party.ErrNotFound) {
		fmt.Println("no fruit yet")
	}
	// Output:
	// no database yet
	// no fruit yet
}

func ExampleDB() {
	ctx := context.Background()
	db, done := exampleDB(ctx)
	defer done()

	// Durable before it is acknowledged.
	err := db.Put(ctx, []byte("elder"), []byte("black"), party.WriteOptions{Sync: true})
	if err != nil {
		log.Fatal(err)
	}
	if err := db.Delete(ctx, []byte("apple")); err != nil {
		log.Fatal(err)
	}
	values, err := db.GetMany(ctx, [][]byte{[]byte("elder"), []byte("apple")})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, %v\n", values[0], values[1] == nil)
	// Output: black, true
}

func ExampleBatch() {
	ctx := context.Background()
	db, done := exampleDB(ctx)
	defer done()

	var b party.Batch
	b.Delete([]byte("apple"))
	b.Put([]byte("pear"), []byte("green"))
	if err := db.Write(ctx, &b); err != nil { // both or none
		log.Fatal(err)
	}
	ok, err := db.Has(ctx, []byte("apple"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(b.Len(), ok)
	// Output: 2 false
}

func ExampleIterator() {
	ctx := context.Background()
	db, done := exampleDB(ctx)
	defer done()

	it := db.Iterator(ctx, party.IteratorOptions{})
	for ok := it.Seek([]byte("b")); ok; ok = it.Next() {
		fmt.Printf("%s %s\n", it.Key(), it.Value())
	}
	if err := errors.Join(it.Err(), it.Close()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// banana yellow
	// cherry red
	// damson blue
}

func ExampleRange() {
	ctx := context.Background()
	db, done := exampleDB(ctx)
	defer done()

	o := party.IteratorOptions{
		Range:   party.Range{GTE: []byte("banana"), LT: []byte("damson")},
		Reverse: true,
	}
	for key, err := range party.Keys(ctx, db, o) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", key)
	}
	err := db.Clear(ctx, party.ClearOptions{Range: party.Range{GT: []byte("apple")}})
	if err != nil {
		log.Fatal(err)
	}
	for key, err := range party.Keys(ctx, db, party.IteratorOptions{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("left: %s\n", key)
	}
	// Output:
	// cherry
	// banana
	// left: apple
}

func ExampleAll() {
	ctx := context.Background()
	db, done := exampleDB(ctx)
	defer done()

	for e, err := range party.All(ctx, db, party.IteratorOptions{Limit: 2}) {
		if err != nil {
			log.Fatal(err) // the last pair, if there is one
		}
		fmt.Printf("%s %s\n", e.Key, e.Value)
	}
	// Output:
	// apple red
	// banana yellow
}

func ExampleKeys() {
	ctx := context.Background()
	db, done := exampleDB(ctx)
	defer done()

	n := 0
	for _, err := range party.Keys(ctx, db, party.IteratorOptions{}) {
		if err != nil {
			log.Fatal(err)
		}
		n++
	}
	fmt.Println(n, "keys")
	// Output: 4 keys
}

func ExampleValues() {
	ctx := context.Background()
	db, done := exampleDB(ctx)
	defer done()

	for value, err := range party.Values(ctx, db, party.IteratorOptions{Reverse: true, Limit: 2}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", value)
	}
	// Output:
	// blue
	// red
}

func ExampleSnapshot() {
	ctx := context.Background()
	db, done := exampleDB(ctx)
	defer done()

	snap, err := db.Snapshot(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer snap.Close()
	if err := db.Put(ctx, []byte("apple"), []byte("green")); err != nil {
		log.Fatal(err)
	}

	before, err := snap.Get(ctx, []byte("apple"))
	if err != nil {
		log.Fatal(err) // ErrSnapshotLost: take a new one and begin again
	}
	now, err := db.Get(ctx, []byte("apple"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s %s\n", before, now)
	// Output: red green
}

// A counter that no two processes count up at once.
func ExampleExclusive() {
	ctx := context.Background()
	db, done := exampleDB(ctx)
	defer done()

	increment := func(key []byte) (n int, err error) {
		x, err := db.Begin(ctx) // all other writers wait from here on
		if err != nil {
			return 0, err
		}
		defer x.Discard() // does nothing after Commit
		value, err := db.Get(ctx, key)
		if err == nil {
			n, err = strconv.Atoi(string(value))
		}
		if err != nil && !errors.Is(err, party.ErrNotFound) {
			return 0, err
		}
		n++
		var b party.Batch
		b.Put(key, strconv.AppendInt(nil, int64(n), 10))
		return n, x.Commit(ctx, &b)
	}
	for range 3 {
		n, err := increment([]byte("count"))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(n)
	}
	// Output:
	// 1
	// 2
	// 3
}

func ExampleStatus() {
	ctx := context.Background()
	db, done := exampleDB(ctx)
	defer done()

	s, err := db.Status(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Bytes > 0, len(s.Guests), "guests")
	// Output: true 0 guests
}

func ExampleRole() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "party")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	roles := make(chan party.Role, 16)
	db, err := party.Open(ctx, dir, &party.Options{OnRole: func(r party.Role) { roles <- r }})
	if err != nil {
		log.Fatal(err)
	}
	for r := range roles {
		if r == party.Leader { // it may have been a member before
			fmt.Println(r)
			break
		}
	}
	if err := db.Close(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-roles)
	// Output:
	// leader
	// closed
}
