package main

import (
	"sync"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
)

// goleveldbPeer is the engine alone: what one process does that shares with
// nobody.
var goleveldbPeer = &goPeer{
	peerInfo: peerInfo{
		name:  "goleveldb",
		about: "goleveldb in one process that shares with nobody, with party's options",
		color: "#8a8f98",
		alone: true,
		cannot: map[string]string{
			"readwhilewriting": "no other process can write",
		},
	},
	filledBy: "goleveldb",
	settle:   func(dir string) error { return withLevel(dir, untilCompacted) },
	connect:  func(dir string, _ job) (client, error) { return openLevel(dir) },
}

// levelOptions are those that party opens goleveldb with, so that what is left
// is the difference between them.
func levelOptions() *opt.Options {
	return &opt.Options{BlockCacheCapacity: 32 << 20, Filter: filter.NewBloomFilter(10)}
}

type levelClient struct {
	db      *leveldb.DB
	batches sync.Pool
}

func openLevel(dir string) (client, error) {
	db, err := leveldb.OpenFile(dir, levelOptions())
	if err != nil {
		return nil, err
	}
	return &levelClient{db: db, batches: sync.Pool{New: func() any { return new(leveldb.Batch) }}}, nil
}

func (c *levelClient) get(key []byte) ([]byte, error) { return c.db.Get(key, nil) }

func (c *levelClient) put(key, value []byte, sync bool) error {
	return c.db.Put(key, value, &opt.WriteOptions{Sync: sync})
}

func (c *levelClient) batch(n int, pair func(int) (key, value []byte)) error {
	b := c.batches.Get().(*leveldb.Batch)
	defer c.batches.Put(b)
	b.Reset()
	for i := range n {
		b.Put(pair(i))
	}
	return c.db.Write(b, nil)
}

func (c *levelClient) scan(visit func(key, value []byte) bool) error {
	it := c.db.NewIterator(nil, nil)
	defer it.Release()
	for it.Next() && visit(it.Key(), it.Value()) {
	}
	return it.Error()
}

func (c *levelClient) close() error { return c.db.Close() }
