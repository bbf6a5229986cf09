package goleveldb_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/levelparty/party"
	leveldb "github.com/levelparty/party/goleveldb"
)

// A program for goleveldb, with one import changed.
func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	db, err := leveldb.OpenFile(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	// As another process would; goleveldb itself says that the database is
	// locked.
	other, err := leveldb.OpenFile(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer other.Close()

	batch := new(leveldb.Batch)
	batch.Put([]byte("fruit/apple"), []byte("red"))
	batch.Put([]byte("fruit/lemon"), []byte("yellow"))
	if err := db.Write(batch, nil); err != nil {
		log.Fatal(err)
	}

	it := other.NewIterator(util.BytesPrefix([]byte("fruit/")), nil)
	for it.Next() {
		fmt.Printf("%s: %s\n", it.Key(), it.Value())
	}
	it.Release()
	if err := it.Error(); err != nil {
		log.Fatal(err)
	}
	_, err = other.Get([]byte("fruit/pear"), nil)
	fmt.Println(err == leveldb.ErrNotFound)
	// Output:
	// fruit/apple: red
	// fruit/lemon: yellow
	// true
}

// A transaction keeps the writes of all processes away, so what was read in it
// still holds when it is committed.
func ExampleDB_OpenTransaction() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := leveldb.OpenFile(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	tr, err := db.OpenTransaction()
	if err != nil {
		log.Fatal(err)
	}
	defer tr.Discard() // without effect after Commit
	taken, err := tr.Has([]byte("seat/1"), nil)
	if err != nil {
		log.Fatal(err)
	}
	if !taken {
		if err := tr.Put([]byte("seat/1"), []byte("me"), nil); err != nil {
			log.Fatal(err)
		}
	}
	if err := tr.Commit(); err != nil {
		log.Fatal(err)
	}
	owner, err := db.Get([]byte("seat/1"), nil)
	fmt.Println(string(owner), err)
	// Output: me <nil>
}

// What goleveldb's options have no field for is set by party's.
func ExamplePartyOptions() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	o, err := leveldb.PartyOptions(nil) // or the opt.Options there were
	if err != nil {
		log.Fatal(err)
	}
	o.Lead = party.LeadFirst
	p, err := party.Open(context.Background(), dir, o)
	if err != nil {
		log.Fatal(err)
	}
	db := leveldb.New(p, &leveldb.Options{ResumeIterators: true})
	defer db.Close()
	if err := db.Put([]byte("fruit"), []byte("apple"), nil); err != nil {
		log.Fatal(err)
	}
	fruit, err := db.Get([]byte("fruit"), nil)
	fmt.Println(string(fruit), err)
	// Output: apple <nil>
}
