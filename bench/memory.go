package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/levelparty/party"
)

// guestMemory is what a leader holds for each idle guest, in bytes.
type guestMemory struct {
	Peer     string
	Guests   int
	Resident float64 // as the system sees it
	// Of a Go leader, after a collection:
	Collected float64 `json:",omitempty"` // resident
	Reachable float64 `json:",omitempty"` // heap and stacks
}

// memory connects many guests to a leader, each of which makes one call and
// then nothing.
func (b *bench) memory(ctx context.Context, peers []peer, r *results) error {
	for _, p := range peers {
		if p.info().guests == nil {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		m, err := b.guestMemoryOf(p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.info().name, err)
		}
		progress("%s: %.1f KiB resident per idle guest, %.1f collected, %.1f reachable", m.Peer, m.Resident/1024, m.Collected/1024, m.Reachable/1024)
		r.Memory = append(r.Memory, m)
	}
	if !slices.Contains(peers, peer(partyPeer)) {
		return nil
	}
	for _, cache := range []int{1 << 20, 32 << 20} {
		m, err := b.memberMemoryOf(partyPeer, cache)
		if err != nil {
			return fmt.Errorf("member: %w", err)
		}
		progress("a process with a cache of %s: %s private at most, %s collected", mib(cache), mib(m.Peak), mib(m.Collected))
		r.Members = append(r.Members, m)
	}
	return nil
}

// memberMemory is what a process adds to its private memory by opening a
// database and using it, in bytes.
type memberMemory struct {
	Keys      int
	Cache     int   // as configured
	Peak      int64 // at any time, what the collector had not yet freed included
	Collected int64 // afterwards
}

// memberMemoryOf has a process that did not make the big database, and does not
// lead, get from it, scan it and put to it.
func (b *bench) memberMemoryOf(p *goPeer, cache int) (m *memberMemory, err error) {
	dir := filepath.Join(b.tmp, "member")
	if err := p.prepare(b, dir, b.bigKeys); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server, err := start(p.name+" server", p.server(b, dir, b.bigKeys))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stopAll(server)) }()
	member, err := start("member", exec.Command(b.self, "member", dir, itoa(b.bigKeys), itoa(cache)))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stopAll(member)) }()
	m = &memberMemory{Keys: b.bigKeys, Cache: cache}
	return m, member.ask("go", 10*time.Minute, m)
}

// memberChild uses a database and tells what memory that took: member DIR KEYS
// CACHE.
func memberChild(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: member DIR KEYS CACHE")
	}
	keys, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	cache, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	return serveLines(func(string) (any, error) {
		debug.FreeOSMemory()
		before, err := memoryOf(os.Getpid(), private)
		if err != nil {
			return nil, err
		}
		c, err := openParty(args[0], &party.Options{Cache: cache})
		if err != nil {
			return nil, err
		}
		peak := before
		see := func() error {
			now, err := memoryOf(os.Getpid(), private)
			peak = max(peak, now)
			return err
		}
		if err := useMember(c, keys, see); err != nil {
			return nil, errors.Join(err, c.close())
		}
		debug.FreeOSMemory()
		after, err := memoryOf(os.Getpid(), private)
		return memberMemory{Keys: keys, Cache: cache, Peak: peak - before, Collected: after - before}, errors.Join(err, c.close())
	})
}

// useMember makes calls of all kinds, and see in between.
func useMember(c client, keys int, see func() error) error {
	v := newValues(1)
	for i := range 300_000 {
		key := appendKey(nil, rand.IntN(keys))
		var err error
		if i%10 == 0 {
			err = c.put(key, v.at(i), false)
		} else {
			_, err = c.get(key)
		}
		if err == nil && i%1000 == 0 {
			err = see()
		}
		if err != nil {
			return err
		}
	}
	n := 0
	var seen error
	err := c.scan(func(_, _ []byte) bool {
		if n++; n%10_000 == 0 {
			seen = see()
		}
		return seen == nil
	})
	return errors.Join(err, seen)
}

func (b *bench) guestMemoryOf(p peer) (m *guestMemory, err error) {
	dir := filepath.Join(b.tmp, "memory")
	if err := p.prepare(b, dir, b.keys); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server, err := start(p.info().name+" server", p.server(b, dir, b.keys))
	if err != nil {
		return nil, err
	}
	var guests []*child
	defer func() { err = errors.Join(err, stopAll(append(guests, server)...)) }()

	_, isGo := p.(*goPeer)
	// Whatever the first guests cost once is not counted.
	few, err := start("guests", p.info().guests(b, dir, 5))
	if err != nil {
		return nil, err
	}
	guests = append(guests, few)
	var before, after memory
	if isGo {
		if err := server.ask("memory", 0, &before); err != nil {
			return nil, err
		}
	}
	time.Sleep(time.Second)
	pid := server.cmd.Process.Pid
	residentBefore, err := memoryOf(pid, resident)
	if err != nil {
		return nil, err
	}
	many, err := start("guests", p.info().guests(b, dir, b.guests))
	if err != nil {
		return nil, err
	}
	guests = append(guests, many)
	time.Sleep(time.Second)
	residentAfter, err := memoryOf(pid, resident)
	if err != nil {
		return nil, err
	}
	n := float64(b.guests)
	m = &guestMemory{Peer: p.info().name, Guests: b.guests, Resident: float64(residentAfter-residentBefore) / n}
	if isGo {
		if err := server.ask("memory", 0, &after); err != nil {
			return nil, err
		}
		collected, err := memoryOf(pid, resident)
		if err != nil {
			return nil, err
		}
		m.Collected = float64(collected-residentBefore) / n
		m.Reachable = (float64(after.Heap+after.Stack) - float64(before.Heap+before.Stack)) / n
	}
	return m, nil
}

// guestsChild holds idle guests: guests DIR NUMBER.
func guestsChild(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: guests DIR NUMBER")
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	ctx := context.Background()
	for range n {
		db, err := party.Open(ctx, args[0], &party.Options{Sockets: true, Lead: party.LeadNever})
		if err != nil {
			return err
		}
		defer db.Close()
		if _, err := db.Get(ctx, appendKey(nil, 0)); err != nil {
			return err
		}
	}
	return serveLines(func(line string) (any, error) { return nil, fmt.Errorf("unknown request %q", line) })
}
