package party_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/levelparty/party"
)

func ExampleSublevel() {
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
	byMail, err := db.Sublevel("by-mail")
	if err != nil {
		log.Fatal(err)
	}

	// Operations of several sublevels, written as one.
	var b party.Batch
	b.Put(users.Key([]byte("1")), []byte("Ann"))
	b.Put(byMail.Key([]byte("ann@example.org")), []byte("1"))
	if err := db.Write(ctx, &b); err != nil {
		log.Fatal(err)
	}

	for e, err := range party.All(ctx, users, party.IteratorOptions{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %s\n", e.Key, e.Value)
	}
	fmt.Println("in the database:")
	for key, err := range party.Keys(ctx, db, party.IteratorOptions{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", key)
	}
	// Output:
	// 1: Ann
	// in the database:
	// !by-mail!ann@example.org
	// !users!1
}
