package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/levelparty/party"
)

// failoverChild gets and puts, one call at a time, until it leads: failover DIR.
// A leader only serves the others.
func failoverChild(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: failover DIR")
	}
	ctx := context.Background()
	db, err := party.Open(ctx, args[0], nil)
	if err != nil {
		return err
	}
	defer db.Close()
	var mu sync.Mutex
	s := caller{Last: time.Now().UnixNano()}
	go func() {
		v := newValues(uint64(os.Getpid()))
		for last := time.Now(); ; {
			// The first call of a new leader still counts: its caller has waited.
			leads := db.Role() == party.Leader
			key := appendKey(nil, rand.IntN(failoverKeys))
			var err error
			if s.Ops%2 == 0 {
				_, err = db.Get(ctx, key)
			} else {
				err = db.Put(ctx, key, v.at(rand.IntN(len(v))))
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			now := time.Now()
			mu.Lock()
			s.Ops++
			s.Longest = max(s.Longest, int64(now.Sub(last)))
			s.Last = now.UnixNano()
			s.Leads = leads
			mu.Unlock()
			if leads {
				return
			}
			last = now
		}
	}()
	return serveLines(func(line string) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		told := s
		if line == "reset" {
			s.Longest = 0
		}
		return told, nil
	})
}
