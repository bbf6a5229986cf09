package main

import (
	"runtime"

	"github.com/levelparty/party/bench/internal/sqlitekv"
)

// sqlitePeer is SQLite in WAL mode, in each process.
var sqlitePeer = &goPeer{
	peerInfo: peerInfo{
		name:  "sqlite",
		about: "SQLite in WAL mode (mattn/go-sqlite3, prepared statements), synchronous=NORMAL, for synced puts FULL",
		color: "#8e6bbf",
	},
	missing: func() error {
		_, err := sqlitekv.Version() // cgo
		return err
	},
	filledBy: "sqlite",
	connect: func(dir string, j job) (client, error) {
		o := sqlitekv.Options{Sync: j.Sync, Connections: 1, Create: j.Op == opFill}
		if j.Op == opGet {
			o.Connections = min(j.InFlight, runtime.NumCPU())
		}
		db, err := sqlitekv.Open(dir, o)
		return sqliteClient{db}, err
	},
}

type sqliteClient struct{ db *sqlitekv.DB }

func (c sqliteClient) get(key []byte) ([]byte, error) { return c.db.Get(key) }

// put syncs or not as the connection was opened.
func (c sqliteClient) put(key, value []byte, _ bool) error { return c.db.Put(key, value) }

func (c sqliteClient) batch(n int, pair func(int) (key, value []byte)) error {
	return c.db.Batch(n, pair)
}

func (c sqliteClient) scan(visit func(key, value []byte) bool) error { return c.db.Scan(visit) }

func (c sqliteClient) close() error { return c.db.Close() }
