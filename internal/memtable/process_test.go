//go:build unix

package memtable

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/partytest"
)

func TestMain(m *testing.M) {
	partytest.Main(map[string]partytest.Helper{"insert": insertHelper, "tower": towerHelper})
	os.Exit(m.Run())
}

// The word of the arena that the processes of these tests publish the last
// sequence number in: a free one of the header.
const offPublished = 32

func mapArena(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

func sharedTable(t *testing.T, size int64) (path string, table *Table) {
	t.Helper()
	path = filepath.Join(t.TempDir(), format.MemName(7))
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	arena, err := mapArena(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(arena) })
	if table, err = Format(arena, 7); err != nil {
		t.Fatal(err)
	}
	return path, table
}

func processEntry(s format.SeqNum) (user []byte, trailer uint64, value []byte) {
	user = fmt.Appendf(nil, "key%08d", uint64(s)*0x9e3779b97f4a7c15>>40)
	return user, format.Trailer(s, format.KindPut), fmt.Appendf(nil, "value of %d", s)
}

// insertHelper inserts entries first to last, then ends.
func insertHelper(p *partytest.Self) error {
	arena, err := mapArena(p.Args[0])
	if err != nil {
		return err
	}
	table, err := Attach(arena, 7)
	if err != nil {
		return err
	}
	first, _ := strconv.Atoi(p.Args[1])
	last, _ := strconv.Atoi(p.Args[2])
	p.Report("ready")
	for s := format.SeqNum(first); s <= format.SeqNum(last); s++ {
		user, trailer, value := processEntry(s)
		if err := table.Insert(user, trailer, value); err != nil {
			return err
		}
		store64(arena, offPublished, uint64(s))
		if s%64 == 0 {
			time.Sleep(time.Microsecond) // others read in the middle of it, too, if processors are few
		}
	}
	return nil
}

// readShared checks that all entries up to s are there and returns how many are.
func readShared(t *testing.T, table *Table, s uint64) (entries int) {
	t.Helper()
	it := table.NewIter()
	seen := uint64(0)
	var before []byte
	for ok := it.First(); ok; ok = it.Next() {
		seq := format.KeySeq(it.Key())
		user, trailer, value := processEntry(seq)
		if !bytes.Equal(it.Key(), ikey(user, trailer)) || !bytes.Equal(it.Value(), value) {
			t.Fatalf("entry %q: %q", it.Key(), it.Value())
		}
		if before != nil && format.CompareInternal(before, it.Key()) >= 0 {
			t.Fatalf("%q behind %q", it.Key(), before)
		}
		before = it.Key()
		entries++
		if uint64(seq) <= s {
			seen++
		}
	}
	if it.Err() != nil || seen != s {
		t.Fatalf("at %d: saw %d entries, %v", s, seen, it.Err())
	}
	return entries
}

// TestTwoProcesses: one process inserts, this one reads through a mapping of
// its own, with the property of TestConcurrentReaders.
func TestTwoProcesses(t *testing.T) {
	const entries = 50_000
	path, table := sharedTable(t, Size(entries, 11*entries, 20*entries))
	p := partytest.Start(t, "insert", path, "1", strconv.Itoa(entries))
	states := 0
	for s := uint64(0); s < entries; {
		now := load64(table.arena, offPublished)
		if now != s {
			states++
		}
		s = now
		readShared(t, table, s)
		if s > 0 {
			of := format.SeqNum(s)
			user, trailer, value := processEntry(of)
			if got, newest, ok, err := table.Get(user, of); err != nil || !ok || newest != trailer || !bytes.Equal(got, value) {
				t.Fatalf("Get(%q, %d): %q, %x, %t, %v", user, of, got, newest, ok, err)
			}
		}
	}
	t.Logf("%d states seen", states)
	p.End()
	if err := table.Check(); err != nil {
		t.Fatal(err)
	}
}

// TestKilledInserters: inserters are killed as kill -9 does, each somewhere, and
// the next goes on where the published sequence says: it inserts again what
// was there perhaps. In the end all is there once, and no room was lost.
func TestKilledInserters(t *testing.T) {
	rng := partytest.Random(t)
	kills := 40
	if testing.Short() {
		kills = 8
	}
	const entries = 1 << 20 // more than they come to
	path, table := sharedTable(t, Size(entries/4, 11*entries/4, 20*entries/4))
	twice := 0
	for range kills {
		s := load64(table.arena, offPublished)
		p := partytest.Start(t, "insert", path, strconv.FormatUint(s+1, 10), strconv.Itoa(entries))
		var ready string
		p.Expect(&ready)
		time.Sleep(time.Duration(rng.IntN(2000)) * time.Microsecond)
		p.Kill()
		if err := table.Check(); err != nil {
			t.Fatal(err)
		}
		published := load64(table.arena, offPublished)
		twice += readShared(t, table, published) - int(published)
	}
	s := load64(table.arena, offPublished)
	user, trailer, value := processEntry(format.SeqNum(s + 1))
	if err := table.Insert(user, trailer, value); err != nil {
		t.Fatal(err)
	}
	if err := table.Check(); err != nil {
		t.Fatal(err)
	}
	if table.Len() != int(s+1) || readShared(t, table, s+1) != int(s+1) {
		t.Errorf("%d entries, want %d", table.Len(), s+1)
	}
	checkTowers(t, table)
	var used int64
	it := table.NewIter()
	for ok := it.First(); ok; ok = it.Next() {
		used += table.nodeEnd(it.n) - int64(it.n) + 4*int64(nodeHeight(table.arena, it.n)-1)
	}
	if want := int64(len(table.arena)) - HeaderLen - used; table.Room() != want {
		t.Errorf("room %d, want %d", table.Room(), want)
	}
	t.Logf("%d entries, %d kills, %d of them between an entry and its publication", s, kills, twice)
}
