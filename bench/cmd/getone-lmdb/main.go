//go:build lmdb

// Command getone-lmdb is what getone is, with LMDB.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/levelparty/party/bench/internal/lmdb"
)

func main() {
	if err := get(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func get(dir, key string) error {
	db, err := lmdb.Open(dir, true)
	if err != nil {
		return err
	}
	_, err = db.Get([]byte(key))
	return errors.Join(err, db.Close())
}
