// Command getone-redis is what getone is, with Redis: its first argument is the
// socket.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/redis/go-redis/v9"
)

func main() {
	if err := get(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func get(ctx context.Context, socket, key string) error {
	db := redis.NewClient(&redis.Options{Network: "unix", Addr: socket})
	return errors.Join(db.Get(ctx, key).Err(), db.Close())
}
