package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/levelparty/party"
)

// takeChild gets in one thread and puts in another, until it is killed: take DIR
// KEYS.
func takeChild(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: take DIR KEYS")
	}
	keys, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	ctx := context.Background()
	db, err := party.Open(ctx, args[0], nil)
	if err != nil {
		return err
	}
	defer db.Close()
	var busy atomic.Bool // puts are made without pause
	v := newValues(uint64(os.Getpid()))
	reads := repeatCall(nil, func() error {
		_, err := db.Get(ctx, appendKey(nil, rand.IntN(keys)))
		return err
	})
	writes := repeatCall(&busy, func() error {
		return db.Put(ctx, appendKey(nil, rand.IntN(keys)), v.at(rand.IntN(len(v))))
	})
	return serveLines(func(line string) (any, error) {
		if line == "busy" {
			busy.Store(true)
		}
		reset := line == "reset"
		return taker{Leads: db.Role() == party.Leader, Reads: reads.tell(reset), Writes: writes.tell(reset)}, nil
	})
}

// repeated is a call that is made again and again.
type repeated struct {
	mu    sync.Mutex
	calls calls // guarded by mu
}

func (r *repeated) tell(reset bool) calls {
	r.mu.Lock()
	defer r.mu.Unlock()
	told := r.calls
	if reset {
		r.calls.Longest = 0
	}
	return told
}

// repeatCall calls call for ever, with pauses while busy is not set. An error
// ends the process.
func repeatCall(busy *atomic.Bool, call func() error) *repeated {
	r := &repeated{calls: calls{Last: time.Now().UnixNano()}}
	go func() {
		// Go's timers may be late by a millisecond.
		runtime.LockOSThread()
		pause := syscall.NsecToTimespec(int64(pace))
		for last := time.Now(); ; {
			if err := call(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			now := time.Now()
			r.mu.Lock()
			r.calls.N++
			r.calls.Longest = max(r.calls.Longest, int64(now.Sub(last)))
			r.calls.Last = now.UnixNano()
			r.mu.Unlock()
			last = now
			if busy == nil || !busy.Load() {
				_ = syscall.Nanosleep(&pause, nil)
			}
		}
	}()
	return r
}
