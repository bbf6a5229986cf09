// Package sqlitekv is SQLite as a store of keys and values: one table, WAL mode,
// prepared statements, through database/sql as Go programs use it.
package sqlitekv

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	_ "github.com/mattn/go-sqlite3"
)

// DB is an open database. Its methods may be called by many goroutines at once.
type DB struct {
	db            *sql.DB
	get, put, all func() (*sql.Stmt, error) // prepared when first used
}

// Options are of the process, not of the database.
type Options struct {
	// Sync makes each commit durable (synchronous=FULL). Without, a commit
	// survives the death of processes, not a loss of power
	// (synchronous=NORMAL): WAL mode then syncs at checkpoints only.
	Sync bool
	// Connections bounds how many calls are under way at once; others wait.
	// Writers are served best one at a time: among connections SQLite lets a
	// writer that has to wait sleep for milliseconds.
	Connections int
	// Create makes the table if it is not there, to be filled: nothing is synced.
	Create bool
}

// Open opens the database in dir, which exists. It is given as much cache as
// party takes by default, and maps the file beyond that.
func Open(dir string, o Options) (*DB, error) {
	synchronous := "NORMAL"
	if o.Sync {
		synchronous = "FULL"
	}
	if o.Create {
		synchronous = "OFF"
	}
	c, err := newConnector(fmt.Sprintf("file:%s?_journal_mode=WAL&_synchronous=%s&_busy_timeout=60000&_txlock=immediate&_cache_size=-32768",
		filepath.Join(dir, "kv.sqlite"), synchronous))
	if err != nil {
		return nil, err
	}
	db := &DB{db: sql.OpenDB(c)}
	db.db.SetMaxOpenConns(max(1, o.Connections))
	db.db.SetMaxIdleConns(max(1, o.Connections))
	if o.Create {
		if _, err := db.db.Exec("CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID"); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	prepared := func(text string) func() (*sql.Stmt, error) {
		return sync.OnceValues(func() (*sql.Stmt, error) { return db.db.Prepare(text) })
	}
	db.get = prepared("SELECT v FROM kv WHERE k = ?")
	db.put = prepared("INSERT OR REPLACE INTO kv (k, v) VALUES (?, ?)")
	db.all = prepared("SELECT k, v FROM kv ORDER BY k")
	return db, nil
}

// Version is that of the library.
func Version() (version string, err error) {
	db, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		return "", err
	}
	defer db.Close()
	err = db.QueryRow("SELECT sqlite_version()").Scan(&version)
	return version, err
}

// connector maps the file in each connection; the driver has no parameter for
// that.
type connector struct {
	name   string
	driver driver.Driver
}

func newConnector(name string) (*connector, error) {
	db, err := sql.Open("sqlite3", name) // opens nothing yet
	if err != nil {
		return nil, err
	}
	return &connector{name, db.Driver()}, db.Close()
}

func (c *connector) Driver() driver.Driver { return c.driver }

func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.name)
	if err != nil {
		return nil, err
	}
	if _, err := conn.(driver.ExecerContext).ExecContext(ctx, "PRAGMA mmap_size=1073741824", nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// Get returns a copy of a value.
func (db *DB) Get(key []byte) (value []byte, err error) {
	get, err := db.get()
	if err != nil {
		return nil, err
	}
	err = get.QueryRow(key).Scan(&value)
	return value, err
}

// Put puts one pair in a transaction of its own.
func (db *DB) Put(key, value []byte) error {
	put, err := db.put()
	if err != nil {
		return err
	}
	_, err = put.Exec(key, value)
	return err
}

// Batch puts n pairs in one transaction.
func (db *DB) Batch(n int, pair func(i int) (key, value []byte)) error {
	statement, err := db.put()
	if err != nil {
		return err
	}
	tx, err := db.db.Begin()
	if err != nil {
		return err
	}
	put := tx.Stmt(statement)
	for i := range n {
		if _, err := put.Exec(pair(i)); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

// Scan visits all entries of one state.
func (db *DB) Scan(visit func(key, value []byte) (more bool)) (err error) {
	all, err := db.all()
	if err != nil {
		return err
	}
	rows, err := all.Query()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var key, value sql.RawBytes
		if err := rows.Scan(&key, &value); err != nil {
			return err
		}
		if !visit(key, value) {
			return nil
		}
	}
	return rows.Err()
}

// Close closes the database and its prepared statements.
func (db *DB) Close() error { return db.db.Close() }
