package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"time"

	"github.com/levelparty/party"
)

// partyPeer is what a program gets that opens the directory while another
// process has it open: whatever way of sharing the library takes. The process
// that has it open besides leads, and makes no calls.
var partyPeer = &goPeer{
	peerInfo: peerInfo{
		name:  "party",
		about: "party.Open in each process, beside one that leads and makes no calls",
		color: "#1f6fc0",
		taker: func(b *bench, dir string) *exec.Cmd {
			return exec.Command(b.self, "take", dir, itoa(b.killKeys))
		},
		victims: []victim{leading, random, writing},
		guests: func(b *bench, dir string, n int) *exec.Cmd {
			return exec.Command(b.self, "guests", dir, itoa(n))
		},
	},
	filledBy: "goleveldb",
	serve:    serveParty,
	connect: func(dir string, _ job) (client, error) {
		return openParty(dir, nil)
	},
}

// partyGuestPeer is a process that was told to use the leader's socket.
var partyGuestPeer = &goPeer{
	peerInfo: peerInfo{
		name:  "party-guest",
		about: "party with the option Sockets, through the leader's socket",
		color: "#a9c3dc",
	},
	filledBy: "goleveldb",
	serve:    serveParty,
	connect: func(dir string, _ job) (client, error) {
		return openParty(dir, &party.Options{Sockets: true, Lead: party.LeadNever}, party.Guest)
	},
}

// partyLeaderPeer is the leader itself, with its sockets open and nobody there.
var partyLeaderPeer = &goPeer{
	peerInfo: peerInfo{
		name:  "party-leader",
		about: "party in one process, which leads, and nobody beside it",
		color: "#7fb2e5",
		alone: true,
		cannot: map[string]string{
			"readwhilewriting": "it is alone",
		},
	},
	filledBy: "goleveldb",
	connect: func(dir string, _ job) (client, error) {
		return openParty(dir, nil, party.Leader)
	},
}

func serveParty(dir string, _ int) (func() error, error) {
	c, err := openParty(dir, nil, party.Leader)
	if err != nil {
		return nil, err
	}
	return c.close, nil
}

type partyClient struct {
	ctx     context.Context
	db      *party.DB
	batches sync.Pool
}

// openParty opens dir. If roles are named, the handle must come to have one of
// them.
func openParty(dir string, o *party.Options, roles ...party.Role) (client, error) {
	ctx := context.Background()
	db, err := party.Open(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(5 * time.Second); len(roles) > 0 && !slices.Contains(roles, db.Role()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return nil, errors.Join(fmt.Errorf("%v, not %v", db.Role(), roles), db.Close())
		}
	}
	return &partyClient{ctx: ctx, db: db, batches: sync.Pool{New: func() any { return new(party.Batch) }}}, nil
}

func (c *partyClient) get(key []byte) ([]byte, error) { return c.db.Get(c.ctx, key) }

func (c *partyClient) put(key, value []byte, sync bool) error {
	if sync {
		return c.db.Put(c.ctx, key, value, party.WriteOptions{Sync: true})
	}
	return c.db.Put(c.ctx, key, value)
}

func (c *partyClient) batch(n int, pair func(int) (key, value []byte)) error {
	b := c.batches.Get().(*party.Batch)
	defer c.batches.Put(b)
	b.Reset()
	for i := range n {
		b.Put(pair(i))
	}
	return c.db.Write(c.ctx, b)
}

func (c *partyClient) scan(visit func(key, value []byte) bool) error {
	it := c.db.Iterator(c.ctx, party.IteratorOptions{})
	for it.Next() && visit(it.Key(), it.Value()) {
	}
	return errors.Join(it.Err(), it.Close())
}

// way is how the library reaches the database.
func (c *partyClient) way() string { return c.db.Role().String() }

func (c *partyClient) close() error { return c.db.Close() }
