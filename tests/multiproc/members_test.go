package multiproc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/syndtr/goleveldb/leveldb"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/dbtest"
	"github.com/levelparty/party/internal/partytest"
)

func init() { helpers["batches"] = batches }

// Property: snapshots and iterators of a member show the state they began with,
// whichever leaders are killed meanwhile and whatever is overwritten, deleted and
// compacted.
func TestSnapshotOutlivesLeaders(t *testing.T) {
	needMemory(t)
	ctx, dir := context.Background(), dbtest.Dir(t)
	leader := start(t, dir, goes, party.Leader)
	db, err := party.Open(ctx, dir, &party.Options{Lead: party.LeadNever})
	must(t, err)
	defer db.Close()
	const n = 20000
	var b party.Batch
	for i := range n {
		b.Put(fmt.Appendf(nil, "k%05d", i), bytes.Repeat([]byte{'a'}, 100))
	}
	must(t, db.Write(ctx, &b))
	snap, err := db.Snapshot(ctx)
	must(t, err)
	defer snap.Close()
	it := db.Iterator(ctx, party.IteratorOptions{Range: party.Range{GTE: []byte("k"), LT: []byte("l")}})
	defer it.Close()
	const rounds = 5
	at := 0
	move := func(most int) {
		t.Helper()
		for ; most > 0 && it.Next(); most-- {
			if want := fmt.Sprintf("k%05d", at); string(it.Key()) != want || len(it.Value()) != 100 || it.Value()[0] != 'a' {
				t.Fatalf("iterator at %s=%.5q, want %s", it.Key(), it.Value(), want)
			}
			at++
		}
		must(t, it.Err())
	}
	for round := range rounds {
		move(n / (rounds + 1))
		leader.Kill()
		leader = start(t, dir, goes, party.Leader)
		var b party.Batch
		for i := range n {
			if key := fmt.Appendf(nil, "k%05d", i); i%rounds == round {
				b.Delete(key)
			} else {
				b.Put(key, bytes.Repeat([]byte{'b'}, 100))
			}
		}
		must(t, db.Write(ctx, &b))
		must(t, db.CompactRange(ctx, party.Range{}))
		seen := 0
		for e, err := range party.All(ctx, snap, party.IteratorOptions{Range: party.Range{GTE: []byte("k"), LT: []byte("l")}}) {
			must(t, err)
			if string(e.Key) != fmt.Sprintf("k%05d", seen) || len(e.Value) != 100 || e.Value[0] != 'a' {
				t.Fatalf("snapshot: %s=%.5q at entry %d", e.Key, e.Value, seen)
			}
			seen++
		}
		if seen != n {
			t.Fatalf("snapshot: %d entries, want %d", seen, n)
		}
		if v, err := snap.Get(ctx, []byte("k00042")); err != nil || v[0] != 'a' {
			t.Fatalf("get: %.5q, %v", v, err)
		}
	}
	move(n)
	if at != n {
		t.Errorf("iterator: %d entries, want %d", at, n)
	}
	leader.End()
}

// batches writes, as a member that does not lead, batches of keys of its own
// until it is killed, and reports each that was acknowledged.
func batches(p *partytest.Self) error {
	ctx := context.Background()
	db, err := party.Open(ctx, p.Args[0], &party.Options{Lead: party.LeadNever})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		var b party.Batch
		for j := range batchKeys {
			b.Put(fmt.Appendf(nil, "%s/%06d/%d", p.Args[1], i, j), bytes.Repeat([]byte{'v'}, i%7*300))
		}
		if err := db.Write(ctx, &b, party.WriteOptions{Sync: i%5 == 0}); err != nil {
			return err
		}
		p.Report(report{Kind: "ack", N: i})
	}
}

const batchKeys = 20

// Property: a member killed while it writes, wherever, leaves each of its batches
// whole or not at all, the acknowledged ones whole, and stops nobody: the others
// write on within a moment.
func TestKilledWriters(t *testing.T) {
	needMemory(t)
	ctx, dir := context.Background(), dbtest.Dir(t)
	db := openAs(t, dir, goes, party.Leader)
	kills := 60
	if testing.Short() {
		kills = 15
	}
	var longest time.Duration
	for k := range kills {
		name := "w" + strconv.Itoa(k)
		p := partytest.Start(t, "batches", dir, name)
		var r report
		p.Expect(&r) // the first
		for range k % 20 {
			p.Expect(&r)
		}
		time.Sleep(time.Duration(k*37%100) * 10 * time.Microsecond)
		p.KillKeep()
		start := time.Now()
		for i := range 20 {
			must(t, db.Put(ctx, fmt.Appendf(nil, "mine/%d/%d", k, i), nil))
		}
		longest = max(longest, time.Since(start))
		acked := r.N
		for p.Report(&r) {
			acked = r.N
		}
		found := make(map[string]int)
		for key, err := range party.Keys(ctx, db, party.IteratorOptions{Range: party.Range{GTE: []byte(name + "/"), LT: []byte(name + "0")}}) {
			must(t, err)
			batch, _, _ := bytes.Cut(key[len(name)+1:], []byte("/"))
			found[string(batch)]++
		}
		if len(found) < acked+1 || len(found) > acked+2 {
			t.Errorf("%d batches, %d acknowledged", len(found), acked+1)
		}
		for batch, n := range found {
			if n != batchKeys {
				t.Errorf("batch %s of %s: %d keys of %d", batch, name, n, batchKeys)
			}
		}
	}
	t.Logf("%d kills; 20 puts took %v at most", kills, longest)
	if longest > 5*time.Second {
		t.Errorf("writers waited %v for a dead one", longest)
	}
}

// Property: what members leave when all are killed at once C++ LevelDB,
// goleveldb, and we, open; all find the same data, and what was acknowledged is
// in it.
func TestAllKilled(t *testing.T) {
	needMemory(t)
	rounds := 5
	if testing.Short() {
		rounds = 2
	}
	for round := range rounds {
		t.Run(strconv.Itoa(round), func(t *testing.T) {
			dir := dbtest.Dir(t)
			f := gather(t, dir, []string{goes, goes, goes, goes})
			f.work(500 + 1000*round)
			alive := f.alive
			for _, s := range alive {
				s.KillKeep()
			}
			for _, s := range alive {
				<-s.over
			}
			f.alive = nil

			of := map[string]map[string]string{}
			cpp := partytest.Node(t, "peer.js", "classic", copyDir(t, dir))
			of["C++ LevelDB"] = entries(t, cpp)
			db, err := leveldb.OpenFile(copyDir(t, dir), nil)
			must(t, err)
			defer db.Close()
			it := db.NewIterator(nil, nil)
			of["goleveldb"] = make(map[string]string)
			for it.Next() {
				of["goleveldb"][string(it.Key())] = string(it.Value())
			}
			it.Release()
			must(t, it.Error())
			ours := make(map[string]string)
			for e, err := range party.All(context.Background(), open(t, dir), party.IteratorOptions{}) {
				must(t, err)
				ours[string(e.Key)] = string(e.Value)
			}
			for name, got := range of {
				if len(got) != len(ours) {
					t.Errorf("%s finds %d entries, we %d", name, len(got), len(ours))
				}
				for k, v := range ours {
					if got[k] != v {
						t.Fatalf("%s: %s=%q, want %q", name, k, got[k], v)
					}
				}
			}
			f.check(func(key string) (string, bool) { v, ok := ours[key]; return v, ok })
		})
	}
}

// entries returns what a Node process finds.
func entries(t *testing.T, p *partytest.Process) map[string]string {
	t.Helper()
	var r struct {
		Kind, Err string
		Data      [][2]string
	}
	if p.Expect(&r); r.Kind != "ready" {
		t.Fatal(r.Kind, r.Err)
	}
	p.Order(map[string]string{"op": "entries"})
	if p.Expect(&r); r.Kind != "done" {
		t.Fatal(r.Kind, r.Err)
	}
	m := make(map[string]string)
	for _, e := range r.Data {
		m[e[0]] = e[1]
	}
	p.End()
	return m
}

// copyDir returns a copy of a directory of plain files.
func copyDir(t *testing.T, dir string) string {
	t.Helper()
	to := dbtest.Dir(t)
	files, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range files {
		if !e.Type().IsRegular() {
			continue
		}
		from, err := os.Open(dir + "/" + e.Name())
		must(t, err)
		f, err := os.Create(to + "/" + e.Name())
		must(t, err)
		_, err = io.Copy(f, from)
		must(t, err)
		must(t, f.Close())
		must(t, from.Close())
	}
	return to
}

// Property: a handle opened while a Node process leads is its guest, and becomes
// a member when that one has gone; one that Node processes reach goes on.
func TestNodeLeaderGoes(t *testing.T) {
	needMemory(t)
	for _, kind := range []string{"rave", "party"} {
		for _, how := range []string{"killed", "closed"} {
			t.Run(kind+" "+how, func(t *testing.T) {
				ctx, dir := context.Background(), dbtest.Dir(t)
				node := partytest.Node(t, "peer.js", kind, dir)
				var r report
				for r.Kind != "ready" {
					node.Expect(&r)
				}
				handles := make([]*party.DB, 3)
				for i := range handles {
					handles[i] = openAs(t, dir, goes, party.Guest)
					must(t, handles[i].Put(ctx, fmt.Appendf(nil, "before%d", i), []byte("v")))
				}
				if how == "killed" {
					node.Kill()
				} else {
					node.End()
				}
				for i, db := range handles {
					must(t, db.Put(ctx, fmt.Appendf(nil, "after%d", i), []byte("v")))
				}
				deadline := time.Now().Add(30 * time.Second)
				for {
					var roles []party.Role
					for _, db := range handles {
						roles = append(roles, db.Role())
					}
					slices.Sort(roles)
					if slices.Equal(roles, []party.Role{party.Leader, party.Member, party.Member}) {
						break
					}
					if time.Now().After(deadline) {
						t.Fatalf("roles %v", roles)
					}
					time.Sleep(time.Millisecond)
				}
				// The next Node process is a guest of the members' leader.
				next := partytest.Node(t, "peer.js", kind, dir)
				for r.Kind = ""; r.Kind != "ready"; {
					next.Expect(&r)
				}
				next.Order(map[string]any{"op": "put", "key": "node", "value": "v"})
				if next.Expect(&r); r.Kind != "done" {
					t.Fatal(r)
				}
				for _, db := range handles {
					n := 0
					for _, err := range party.Keys(ctx, db, party.IteratorOptions{}) {
						must(t, err)
						n++
					}
					if n != 7 {
						t.Errorf("%d keys, want 7", n)
					}
				}
				next.End()
			})
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
