//go:build lmdb

package main

import "github.com/levelparty/party/bench/internal/lmdb"

const lmdbBuilt = true

func init() {
	lmdbPeer.missing = nil
	lmdbPeer.connect = func(dir string, j job) (client, error) {
		db, err := lmdb.Open(dir, !j.Sync)
		if err != nil {
			return nil, err
		}
		return lmdbClient{db}, nil
	}
}

type lmdbClient struct{ db *lmdb.DB }

func (c lmdbClient) get(key []byte) ([]byte, error) { return c.db.Get(key) }

// put syncs or not as the database was opened.
func (c lmdbClient) put(key, value []byte, _ bool) error {
	return c.db.Put(1, func(int) ([]byte, []byte) { return key, value })
}

func (c lmdbClient) batch(n int, pair func(int) (key, value []byte)) error { return c.db.Put(n, pair) }

func (c lmdbClient) scan(visit func(key, value []byte) bool) error { return c.db.Scan(visit) }

func (c lmdbClient) close() error { return c.db.Close() }
