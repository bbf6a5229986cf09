// Command getone is the shortest program that uses party: it opens a database,
// gets one key, and ends.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/levelparty/party"
)

func main() {
	if err := get(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func get(ctx context.Context, dir, key string) error {
	db, err := party.Open(ctx, dir, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Get(ctx, []byte(key))
	return err
}
