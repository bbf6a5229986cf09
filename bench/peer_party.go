package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"

	"github.com/levelparty/party"
)

// partyLeaderPeer is the leader itself, with its sockets open and nobody there.
var partyLeaderPeer = &goPeer{
	peerInfo: peerInfo{
		name:  "party-leader",
		about: "party, the leader's own calls",
		color: "#7fb2e5",
	},
	files: true,
	connect: func(dir string, _ job) (client, error) {
		return openParty(dir, party.Leader, nil)
	},
}

// partyGuestPeer is a process beside the leader.
var partyGuestPeer = &goPeer{
	peerInfo: peerInfo{
		name:  "party",
		about: "party, a process beside the leading one",
		color: "#1f6fc0",
		failover: func(b *bench, dir string) *exec.Cmd {
			return exec.Command(b.self, "failover", dir)
		},
		guests: func(b *bench, dir string, n int) *exec.Cmd {
			return exec.Command(b.self, "guests", dir, itoa(n))
		},
	},
	files: true,
	serve: func(dir string, _ int) (func() error, error) {
		c, err := openParty(dir, party.Leader, nil)
		if err != nil {
			return nil, err
		}
		return c.close, nil
	},
	connect: func(dir string, _ job) (client, error) {
		return openParty(dir, party.Guest, &party.Options{Lead: party.LeadNever})
	},
}

type partyClient struct {
	ctx     context.Context
	db      *party.DB
	batches sync.Pool
}

func openParty(dir string, want party.Role, o *party.Options) (client, error) {
	ctx := context.Background()
	db, err := party.Open(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	if role := db.Role(); role != want {
		return nil, errors.Join(fmt.Errorf("%v, not %v", role, want), db.Close())
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

func (c *partyClient) close() error { return c.db.Close() }
