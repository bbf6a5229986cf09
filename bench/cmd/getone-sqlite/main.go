// Command getone-sqlite is what getone is, with SQLite.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/levelparty/party/bench/internal/sqlitekv"
)

func main() {
	if err := get(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func get(dir, key string) error {
	db, err := sqlitekv.Open(dir, sqlitekv.Options{})
	if err != nil {
		return err
	}
	_, err = db.Get([]byte(key))
	return errors.Join(err, db.Close())
}
