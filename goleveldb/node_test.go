package goleveldb_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/levelparty/party"
	"github.com/levelparty/party/goleveldb"
	"github.com/levelparty/party/internal/dbtest"
	"github.com/levelparty/party/internal/partytest"
)

// Property: beside a Node process that leads, what its protocol carries works,
// and the rest is ErrNotSupported.
func TestNodeLeader(t *testing.T) {
	for name, script := range map[string]string{
		"rave-level": `
			const { RaveLevel } = require('rave-level')
			const db = new RaveLevel(process.argv[1])
			db.open().then(() => db.put('node', '1')).then(() => console.log('"open"'))`,
		"level-party": `
			const db = require('level-party')(process.argv[1])
			db.put('node', '1', () => console.log('"open"'))`,
	} {
		t.Run(name, func(t *testing.T) { testNodeLeader(t, startNode(t, script)) })
	}
}

// startNode starts a script that opens the database in the directory that is
// returned.
func startNode(t *testing.T, script string) (dir string) {
	t.Helper()
	packages := filepath.Join("..", "interop")
	_, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(filepath.Join(packages, "node_modules"))
	}
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	} else if err != nil {
		t.Skip(err)
	}
	dir = dbtest.Dir(t)
	cmd := exec.Command("node", "-e", script+"\nprocess.stdin.resume()", dir) // and stay
	cmd.Dir = packages
	var open string
	partytest.Run(t, cmd).Expect(&open)
	return dir
}

func testNodeLeader(t *testing.T, dir string) {
	db := expectRole(t, open(t, dir, nil), party.Guest)
	if err := db.Write(batch("a", "1", "b", "2", "c", "3"), nil); err != nil {
		t.Fatal(err)
	}
	put(t, db, "d", "4")
	if err := db.Delete([]byte("d"), nil); err != nil {
		t.Fatal(err)
	}
	if got := get(t, db, "node"); got != "1" {
		t.Errorf("got %q, want what Node wrote", got)
	}
	if ok, err := db.Has([]byte("d"), nil); ok || err != nil {
		t.Errorf("has: %v, %v", ok, err)
	}

	it := db.NewIterator(&util.Range{Start: []byte("a"), Limit: []byte("c")}, nil)
	if !it.First() {
		t.Fatal(it.Error())
	}
	put(t, db, "ab", "later") // not in the iterator's state
	for _, key := range []string{"a", "b"} {
		if string(it.Key()) != key {
			t.Errorf("at %q, want %q", it.Key(), key)
		}
		it.Next()
	}
	if it.Valid() || it.Error() != nil {
		t.Errorf("at %q, %v, want the end", it.Key(), it.Error())
	}
	it.Release()
	it = db.NewIterator(nil, nil)
	if !it.Last() || string(it.Key()) != "node" || !it.Prev() || string(it.Key()) != "c" {
		t.Errorf("backward at %q, %v", it.Key(), it.Error())
	}
	it.Release()

	if s, err := db.Party().Status(t.Context()); err != nil || s.Protocol == "party" {
		t.Fatalf("status %+v, %v, want a Node leader", s, err)
	}
	_, noSnapshot := db.GetSnapshot()
	_, noTransaction := db.OpenTransaction()
	_, noProperty := db.GetProperty("leveldb.stats")
	_, noSize := db.SizeOf([]util.Range{{Limit: []byte("z")}})
	for what, err := range map[string]error{
		"size":        noSize,
		"compact":     db.CompactRange(util.Range{}),
		"snapshot":    noSnapshot,
		"transaction": noTransaction,
		"property":    noProperty,
		"stats":       db.Stats(new(goleveldb.DBStats)),
		"sync":        db.Put([]byte("k"), nil, &opt.WriteOptions{Sync: true}),
	} {
		if !errors.Is(err, party.ErrNotSupported) {
			t.Errorf("%s: %v, want ErrNotSupported", what, err)
		}
	}

	noSync := open(t, dir, &opt.Options{NoSync: true})
	if err := noSync.Put([]byte("k"), nil, &opt.WriteOptions{Sync: true}); err != nil {
		t.Errorf("a sync that NoSync takes away: %v", err)
	}

	// A turn would need a second iterator of Node's, with another state.
	it = db.NewIterator(nil, nil)
	defer it.Release()
	it.Next()
	it.Next()
	put(t, db, "aa", "between")
	for ok := it.Prev(); ok; ok = it.Prev() {
		if string(it.Key()) != "a" {
			t.Errorf("turned to %q", it.Key())
		}
	}
	if err := it.Error(); err != nil && !errors.Is(err, party.ErrNotSupported) {
		t.Errorf("turn: %v", err)
	}
}
