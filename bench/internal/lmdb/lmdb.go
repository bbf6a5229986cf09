//go:build lmdb

// Package lmdb is as much of LMDB as the benchmark calls: one unnamed database
// in one directory, shared by any number of processes. It is built with the tag
// lmdb, for which the library and its header must be installed (Debian:
// apt-get install liblmdb-dev).
//
// Each call crosses into C once, so that what is measured is LMDB: a get renews
// a read transaction, copies the value and resets the transaction; a put begins
// and commits a write transaction; a scan fetches entries some hundred at a
// time.
package lmdb

/*
#cgo LDFLAGS: -llmdb
#cgo noescape kv_get
#cgo nocallback kv_get
#cgo noescape kv_put
#cgo nocallback kv_put
#include <lmdb.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct { int rc; size_t n; } kv_result;
typedef struct { MDB_val key, value; } kv_entry;

static int kv_open(const char *dir, unsigned flags, size_t size, MDB_env **env, MDB_dbi *dbi) {
	MDB_txn *txn;
	int rc = mdb_env_create(env);
	if (rc) return rc;
	if ((rc = mdb_env_set_mapsize(*env, size))) goto fail;
	if ((rc = mdb_env_set_maxreaders(*env, 1024))) goto fail;
	if ((rc = mdb_env_open(*env, dir, flags, 0600))) goto fail;
	// A database that is there is opened without waiting for its writer.
	if ((rc = mdb_txn_begin(*env, NULL, MDB_RDONLY, &txn))) goto fail;
	if ((rc = mdb_dbi_open(txn, NULL, 0, dbi))) { mdb_txn_abort(txn); goto fail; }
	if ((rc = mdb_txn_commit(txn))) goto fail;
	return 0;
fail:
	mdb_env_close(*env);
	return rc;
}

static int kv_reader(MDB_env *env, MDB_txn **txn) {
	int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, txn);
	if (!rc) mdb_txn_reset(*txn);
	return rc;
}

// kv_get copies the value, if it fits into cap bytes; n is its size.
static kv_result kv_get(MDB_txn *txn, MDB_dbi dbi, void *key, size_t keylen, void *dst, size_t cap) {
	MDB_val k = {keylen, key}, v;
	kv_result r = {mdb_txn_renew(txn), 0};
	if (r.rc) return r;
	if (!(r.rc = mdb_get(txn, dbi, &k, &v))) {
		r.n = v.mv_size;
		if (r.n <= cap) memcpy(dst, v.mv_data, r.n);
	}
	mdb_txn_reset(txn);
	return r;
}

// kv_put puts n pairs in one transaction. data has, for each, the lengths of key
// and value, four bytes each in this machine's order, and both.
static int kv_put(MDB_env *env, MDB_dbi dbi, char *data, int n) {
	MDB_txn *txn;
	int rc = mdb_txn_begin(env, NULL, 0, &txn);
	if (rc) return rc;
	while (n--) {
		uint32_t len[2];
		memcpy(len, data, sizeof len);
		data += sizeof len;
		MDB_val k = {len[0], data}, v = {len[1], data + len[0]};
		if ((rc = mdb_put(txn, dbi, &k, &v, 0))) { mdb_txn_abort(txn); return rc; }
		data += len[0] + len[1];
	}
	return mdb_txn_commit(txn);
}

static int kv_scan(MDB_txn *txn, MDB_dbi dbi, MDB_cursor **cursor) {
	int rc = mdb_txn_renew(txn);
	if (rc) return rc;
	if ((rc = mdb_cursor_open(txn, dbi, cursor))) mdb_txn_reset(txn);
	return rc;
}

static kv_result kv_next(MDB_cursor *cursor, kv_entry *entries, size_t max) {
	kv_result r = {0, 0};
	while (r.n < max) {
		r.rc = mdb_cursor_get(cursor, &entries[r.n].key, &entries[r.n].value, MDB_NEXT);
		if (r.rc) {
			if (r.rc == MDB_NOTFOUND) r.rc = 0;
			break;
		}
		r.n++;
	}
	return r;
}

static void kv_scanned(MDB_cursor *cursor, MDB_txn *txn) {
	mdb_cursor_close(cursor);
	mdb_txn_reset(txn);
}
*/
import "C"

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"
)

// ErrNotFound is returned for a key that is not there.
var ErrNotFound = errors.New("lmdb: not found")

// mapSize bounds the database; it takes addresses, not memory.
const mapSize = 64 << 30

// DB is an open database. Its methods may be called by many goroutines at once.
type DB struct {
	env *C.MDB_env
	dbi C.MDB_dbi

	mu      sync.Mutex
	readers []*C.MDB_txn // reset, guarded by mu

	writing sync.Mutex // spares threads that would wait in C
	data    []byte     // of kv_put, guarded by writing

	valueSize atomic.Int64 // of the last value, to guess the next
}

// Open opens or creates the database in dir, which exists. With noSync a commit
// is written to the page cache and not synced (MDB_NOSYNC without
// MDB_WRITEMAP): it survives the death of processes, as an unsynced write of
// LevelDB does, and not a loss of power. Without, a commit is synced, data pages
// and then the meta page, which is LMDB's default.
func Open(dir string, noSync bool) (*DB, error) {
	// Read transactions belong to whoever uses them, not to a thread.
	flags := C.uint(C.MDB_NOTLS)
	if noSync {
		flags |= C.MDB_NOSYNC
	}
	name := C.CString(dir)
	defer C.free(unsafe.Pointer(name))
	db := new(DB)
	if err := failed("open", C.kv_open(name, flags, mapSize, &db.env, &db.dbi)); err != nil {
		return nil, err
	}
	return db, nil
}

// Version is that of the library.
func Version() string {
	var major, minor, patch C.int
	C.mdb_version(&major, &minor, &patch)
	return fmt.Sprintf("%d.%d.%d", major, minor, patch)
}

func failed(what string, rc C.int) error {
	if rc == 0 {
		return nil
	}
	if rc == C.MDB_NOTFOUND {
		return ErrNotFound
	}
	return fmt.Errorf("lmdb: %s: %s", what, C.GoString(C.mdb_strerror(rc)))
}

func (db *DB) reader() (*C.MDB_txn, error) {
	db.mu.Lock()
	if n := len(db.readers); n > 0 {
		txn := db.readers[n-1]
		db.readers = db.readers[:n-1]
		db.mu.Unlock()
		return txn, nil
	}
	db.mu.Unlock()
	var txn *C.MDB_txn
	err := failed("begin", C.kv_reader(db.env, &txn))
	return txn, err
}

func (db *DB) release(txn *C.MDB_txn) {
	db.mu.Lock()
	db.readers = append(db.readers, txn)
	db.mu.Unlock()
}

// Get returns a copy of a value. The key must not be empty; LMDB has no such keys.
func (db *DB) Get(key []byte) ([]byte, error) {
	txn, err := db.reader()
	if err != nil {
		return nil, err
	}
	value := make([]byte, max(1, db.valueSize.Load()))
	for {
		// Written as elements of slices, they are all of what cgo's check looks at:
		// a key may lie beside Go pointers.
		r := C.kv_get(txn, db.dbi, unsafe.Pointer(&key[0]), C.size_t(len(key)), unsafe.Pointer(&value[0]), C.size_t(len(value)))
		if r.rc != 0 {
			db.release(txn)
			return nil, failed("get", r.rc)
		}
		if int(r.n) <= len(value) {
			db.release(txn)
			if int(r.n) != len(value) {
				db.valueSize.Store(int64(r.n))
			}
			return value[:r.n], nil
		}
		value = make([]byte, r.n)
	}
}

// Put puts n pairs, at least one, in one transaction.
func (db *DB) Put(n int, pair func(i int) (key, value []byte)) error {
	db.writing.Lock()
	defer db.writing.Unlock()
	db.data = db.data[:0]
	for i := range n {
		key, value := pair(i)
		db.data = binary.NativeEndian.AppendUint32(db.data, uint32(len(key)))
		db.data = binary.NativeEndian.AppendUint32(db.data, uint32(len(value)))
		db.data = append(append(db.data, key...), value...)
	}
	return failed("put", C.kv_put(db.env, db.dbi, (*C.char)(unsafe.Pointer(&db.data[0])), C.int(n)))
}

// scanned is how many entries a scan fetches at a time.
const scanned = 512

// Scan visits all entries of one state, without copying them.
func (db *DB) Scan(visit func(key, value []byte) (more bool)) error {
	txn, err := db.reader()
	if err != nil {
		return err
	}
	defer db.release(txn)
	var cursor *C.MDB_cursor
	if err := failed("scan", C.kv_scan(txn, db.dbi, &cursor)); err != nil {
		return err
	}
	defer C.kv_scanned(cursor, txn)
	memory := C.malloc(scanned * C.sizeof_kv_entry)
	defer C.free(memory)
	entries := unsafe.Slice((*C.kv_entry)(memory), scanned)
	for {
		r := C.kv_next(cursor, &entries[0], scanned)
		if r.rc != 0 {
			return failed("scan", r.rc)
		}
		for i := range entries[:r.n] {
			if e := &entries[i]; !visit(bytesOf(&e.key), bytesOf(&e.value)) {
				return nil
			}
		}
		if r.n < scanned {
			return nil
		}
	}
}

func bytesOf(v *C.MDB_val) []byte {
	return unsafe.Slice((*byte)(v.mv_data), int(v.mv_size))
}

// Close closes the database. No call may be under way.
func (db *DB) Close() error {
	for _, txn := range db.readers {
		C.mdb_txn_abort(txn)
	}
	C.mdb_env_close(db.env)
	return nil
}
