package party_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/levelparty/party"
)

func ExampleTyped() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "party")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := party.Open(ctx, dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	type city struct {
		Name   string `json:"name"`
		People int    `json:"people"`
	}
	sub, err := db.Sublevel("cities")
	if err != nil {
		log.Fatal(err)
	}
	cities := party.NewTyped(sub, party.UTF8, party.JSON[city]())

	for code, c := range map[string]city{
		"at": {"Vienna", 2_000_000}, "be": {"Brussels", 1_200_000}, "cz": {"Prague", 1_300_000},
	} {
		if err := cities.Put(ctx, code, c); err != nil {
			log.Fatal(err)
		}
	}
	c, err := cities.Get(ctx, "be")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Name)

	for e, err := range cities.All(ctx, &party.RangeOf[string]{GT: new("at"), Reverse: true}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Key, e.Value.People)
	}
	// Output:
	// Brussels
	// cz 1300000
	// be 1200000
}

func ExampleTyped_BatchPut() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "party")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := party.Open(ctx, dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	users, err := db.Sublevel("users")
	if err != nil {
		log.Fatal(err)
	}
	names, err := db.Sublevel("names")
	if err != nil {
		log.Fatal(err)
	}
	userByID := party.NewTyped(users, party.Uint64, party.UTF8)
	idByName := party.NewTyped(names, party.UTF8, party.Uint64)

	var b party.Batch
	if err := userByID.BatchPut(&b, 42, "Ann"); err != nil {
		log.Fatal(err)
	}
	if err := idByName.BatchPut(&b, "Ann", 42); err != nil {
		log.Fatal(err)
	}
	if err := db.Write(ctx, &b); err != nil { // both or none
		log.Fatal(err)
	}

	id, err := idByName.Get(ctx, "Ann")
	fmt.Println(id, err)
	// Output: 42 <nil>
}

func ExampleTyped_At() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "party")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := party.Open(ctx, dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	stock := party.NewTyped(db, party.UTF8, party.Uint32)
	if err := stock.Put(ctx, "apples", 3); err != nil {
		log.Fatal(err)
	}
	snap, err := db.Snapshot(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer snap.Close()
	if err := stock.Put(ctx, "apples", 2); err != nil {
		log.Fatal(err)
	}

	before, err := stock.At(snap).Get(ctx, "apples")
	if err != nil {
		log.Fatal(err)
	}
	now, err := stock.Get(ctx, "apples")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(before, now)
	// Output: 3 2
}
