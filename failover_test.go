package party_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/dbtest"
	"github.com/levelparty/party/internal/partytest"
	"github.com/levelparty/party/internal/wire"
)

// until waits for a condition that a goroutine elsewhere brings about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 seconds", what)
		}
	}
}

var protos = []wire.Proto{wire.Party, wire.Many, wire.Multi}

// trickyKeys lie so close that a resume which lowers or raises a byte skips
// some.
func trickyKeys() (keys []string) {
	for i := range 300 {
		k := fmt.Sprintf("k%03d", i)
		keys = append(keys, k, k+"\x00", k+"~tail", k+"\xff\xff")
	}
	slices.Sort(keys)
	return keys
}

// Property: an iterator that loses its leader, at any entry, several times,
// returns each key of its range once and in order, forwards and backwards, with
// ranges and limits, by every protocol, whether the leader is a member or alone.
func TestIteratorOverFailover(t *testing.T) {
	keys := trickyKeys()
	eachSharing(t, func(t *testing.T, s sharing) { testIteratorOverFailover(t, s, keys) })
}

func testIteratorOverFailover(t *testing.T, s sharing, keys []string) {
	for _, p := range protos {
		for _, o := range []party.IteratorOptions{
			{},
			{Reverse: true},
			{Range: party.Range{GT: []byte("k010"), LTE: []byte("k200~tail")}},
			{Range: party.Range{GTE: []byte("k010~tail"), LT: []byte("k200")}, Reverse: true},
			{Limit: 700},
			{Limit: 700, Reverse: true},
			{NoValues: true},
			{NoKeys: true},
		} {
			t.Run(fmt.Sprintf("%v/%+v", p, o), func(t *testing.T) {
				t.Parallel()
				dir := dbtest.Dir(t)
				leader := open(t, dir, &s.options)
				var b party.Batch
				for _, k := range keys {
					b.Put([]byte(k), []byte("v"+k))
				}
				must(t, leader.Write(bg, &b))
				opts := party.Options{Lead: party.LeadNever}.Only(p)
				guest := open(t, dir, opts)
				it := guest.Iterator(bg, o)
				defer it.Close()
				var got []string
				for i := 0; it.Next(); i++ {
					if o.NoKeys {
						got = append(got, string(it.Value()[1:]))
					} else {
						got = append(got, string(it.Key()))
					}
					if i%97 == 13 {
						must(t, leader.Close())
						leader = open(t, dir, &s.options)
					}
				}
				must(t, it.Err())
				var want []string
				for _, k := range keys {
					if (o.GT == nil || k > string(o.GT)) && (o.GTE == nil || k >= string(o.GTE)) &&
						(o.LT == nil || k < string(o.LT)) && (o.LTE == nil || k <= string(o.LTE)) {
						want = append(want, k)
					}
				}
				if o.Reverse {
					slices.Reverse(want)
				}
				if o.Limit > 0 {
					want = want[:o.Limit]
				}
				if !slices.Equal(got, want) {
					for i := range want {
						if i >= len(got) || got[i] != want[i] {
							t.Fatalf("%d entries, want %d; the first wrong one is %d", len(got), len(want), i)
						}
					}
					t.Fatalf("%d entries, want %d", len(got), len(want))
				}
			})
		}
	}
}

// Property: an iterator of a handle that itself becomes leader, and leader no
// more, goes on in the same way.
func TestIteratorOverOwnLead(t *testing.T) {
	eachSharing(t, testIteratorOverOwnLead)
}

func testIteratorOverOwnLead(t *testing.T, s sharing) {
	dir := dbtest.Dir(t)
	first := openAs(t, party.Leader, dir, &s.options)
	keys := fill(t, first, 1000)
	db := open(t, dir, s.with(party.Options{Lead: party.LeadLast}))
	it := db.Iterator(bg, party.IteratorOptions{})
	defer it.Close()
	for i, want := range keys {
		if !it.Next() || string(it.Key()) != want {
			t.Fatalf("entry %d: %q, want %q; %v", i, it.Key(), want, it.Err())
		}
		switch i {
		case 300:
			must(t, first.Close())
		case 600: // its own lead has begun by now; another takes it away
			until(t, "the lead", func() bool { return db.Role() == party.Leader })
			second := open(t, dir, &s.options)
			until(t, "the hand-over", func() bool { return second.Role() == party.Leader })
		}
	}
	if it.Next() || it.Err() != nil {
		t.Errorf("one entry more: %q, %v", it.Key(), it.Err())
	}
}

// Property: calls that wait when the leader is lost are sent again in the order
// in which they were made, before any later one, to another leader or to the
// handle itself when it leads.
func TestWaitingCallsKeepOrder(t *testing.T) {
	eachSharing(t, testWaitingCallsKeepOrder)
}

func testWaitingCallsKeepOrder(t *testing.T, s sharing) {
	for _, lead := range []party.Lead{party.LeadWhenFree, party.LeadNever} {
		t.Run(fmt.Sprint(lead), func(t *testing.T) {
			dir := dbtest.Dir(t)
			leader := openAs(t, party.Leader, dir, &s.options)
			db := open(t, dir, &party.Options{Lead: lead, Sockets: true})
			// The leader answers nothing while it is exclusive.
			x, err := leader.Begin(bg)
			must(t, err)
			var wg sync.WaitGroup
			const n = 50
			for i := range n {
				wg.Add(1)
				go func() {
					defer wg.Done()
					if err := db.Put(bg, []byte("k"), fmt.Append(nil, i)); err != nil {
						t.Error(err)
					}
				}()
				until(t, "call", func() bool { return db.WaitingCalls() == i+1 })
			}
			must(t, leader.Close())
			x.Discard()
			var next *party.DB
			if lead == party.LeadNever {
				next = open(t, dir, &s.options)
			}
			wg.Wait()
			v, err := db.Get(bg, []byte("k"))
			if err != nil || string(v) != fmt.Sprint(n-1) {
				t.Errorf("got %q, %v; want the last put, %d", v, err, n-1)
			}
			_ = next
		})
	}
}

func TestNoRetry(t *testing.T) { eachSharing(t, testNoRetry) }

func testNoRetry(t *testing.T, s sharing) {
	for _, p := range protos {
		t.Run(p.String(), func(t *testing.T) {
			dir := dbtest.Dir(t)
			leader := openAs(t, party.Leader, dir, &s.options)
			var b party.Batch
			for i := range 20000 {
				b.Put(fmt.Appendf(nil, "%05d", i), make([]byte, 100))
			}
			must(t, leader.Write(bg, &b))
			db := open(t, dir, party.Options{NoRetry: true, Lead: party.LeadNever}.Only(p))
			it := db.Iterator(bg, party.IteratorOptions{})
			if !it.Next() {
				t.Fatal(it.Err())
			}
			// What is written now is not seen: one snapshot.
			must(t, leader.Clear(bg, party.ClearOptions{Range: party.Range{GTE: []byte("19900")}}))
			x, err := leader.Begin(bg)
			must(t, err)
			put := make(chan error, 1)
			if p == wire.Party { // the npm hosts read nothing while a write waits
				go func() { put <- db.Put(bg, []byte("k"), nil) }()
				until(t, "call", func() bool { return db.WaitingCalls() > 0 })
			}
			n := 1
			for n < 10 && it.Next() {
				n++
			}
			must(t, leader.Close())
			x.Discard()
			if p == wire.Party {
				wantErr(t, "put", <-put, party.ErrConnectionLost)
			}
			for it.Next() {
				n++
			}
			wantErr(t, "iterator", it.Err(), party.ErrConnectionLost)
			if n >= 19900 {
				t.Errorf("%d entries came before the end", n)
			}
			it.Close()
			// The handle goes on with the next leader.
			open(t, dir, &s.options)
			must(t, db.Put(bg, []byte("k"), nil))
		})
	}
}

func TestSnapshotLost(t *testing.T) {
	dir := dbtest.Dir(t)
	leader := openAs(t, party.Leader, dir, &bySockets.options)
	fill(t, leader, 10)
	guest := open(t, dir, &bySockets.options)
	var snaps []*party.Snapshot
	for _, db := range []*party.DB{leader, guest} {
		s, err := db.Snapshot(bg)
		must(t, err)
		snaps = append(snaps, s)
	}
	it := snaps[1].Iterator(bg, party.IteratorOptions{})
	must(t, leader.Close())
	_, err := snaps[0].Get(bg, []byte("0001"))
	wantErr(t, "snapshot of a closed handle", err, party.ErrClosed)
	_, err = snaps[1].Get(bg, []byte("0001"))
	wantErr(t, "get", err, party.ErrSnapshotLost)
	if it.Next() {
		t.Error("iterator of a lost snapshot moves")
	}
	wantErr(t, "iterator", it.Err(), party.ErrSnapshotLost)
	must(t, snaps[1].Close())
	s, err := guest.Snapshot(bg) // by the next leader: itself
	must(t, err)
	if got := all(t, s, party.IteratorOptions{}); len(got) != 10 {
		t.Errorf("%d entries, want 10", len(got))
	}
	must(t, s.Close())
}

// Property: what a member began does not end with the leader: snapshots and
// iterators go on reading their one state, the right to write alone stays, and
// calls do not fail, with Options.NoRetry neither.
func TestMembersOutliveLeader(t *testing.T) {
	needMemory(t)
	dir := dbtest.Dir(t)
	leader := openAs(t, party.Leader, dir, nil)
	keys := fill(t, leader, 1000)
	member := openAs(t, party.Member, dir, &party.Options{NoRetry: true})
	snap, err := member.Snapshot(bg)
	must(t, err)
	defer snap.Close()
	iterators := []*party.Iterator{
		member.Iterator(bg, party.IteratorOptions{}),
		member.Iterator(bg, party.IteratorOptions{OneState: true, Reverse: true}),
		snap.Iterator(bg, party.IteratorOptions{}),
	}
	seen := make([][]string, len(iterators))
	read := func(most int) {
		t.Helper()
		for i, it := range iterators {
			for n := 0; n < most && it.Next(); n++ {
				seen[i] = append(seen[i], string(it.Key()))
			}
			must(t, it.Err())
		}
	}
	read(10)
	x, err := member.Begin(bg)
	must(t, err)
	must(t, leader.Close())
	var b party.Batch
	for _, k := range keys[500:] {
		b.Delete([]byte(k))
	}
	must(t, x.Commit(bg, &b))
	waitRole(t, member, party.Leader)
	must(t, member.CompactRange(bg, party.Range{})) // what is deleted goes for good
	read(len(keys))
	slices.Reverse(seen[1])
	for i, it := range iterators {
		if !slices.Equal(seen[i], keys) {
			t.Errorf("iterator %d: %d entries, want %d", i, len(seen[i]), len(keys))
		}
		must(t, it.Close())
	}
	if got := all(t, snap, party.IteratorOptions{}); len(got) != len(keys) {
		t.Errorf("%d entries in the snapshot, want %d", len(got), len(keys))
	}
	if got := all(t, member, party.IteratorOptions{}); len(got) != 500 {
		t.Errorf("%d entries, want 500", len(got))
	}
}

// Property: a handle can be closed while its writes wait for another that writes
// alone, or for a leader that does not come; they fail with ErrClosed.
func TestCloseEndsWaits(t *testing.T) {
	needMemory(t)
	closeWhile := func(t *testing.T, db *party.DB, writes chan error, n int) {
		t.Helper()
		closed := make(chan error, 1)
		go func() { closed <- db.Close() }()
		select {
		case err := <-closed:
			must(t, err)
		case <-time.After(10 * time.Second):
			t.Fatal("Close waits")
		}
		for range n {
			wantErr(t, "put", <-writes, party.ErrClosed)
		}
	}
	for _, role := range []party.Role{party.Member, party.Leader} {
		t.Run("beside an exclusive/"+role.String(), func(t *testing.T) {
			dir := dbtest.Dir(t)
			leader := openAs(t, party.Leader, dir, nil)
			db := openAs(t, party.Member, dir, nil)
			if role == party.Leader {
				leader, db = db, leader
			}
			x, err := leader.Begin(bg)
			must(t, err)
			defer x.Discard()
			writes := make(chan error)
			for range 10 {
				go func() { writes <- db.Put(bg, []byte("k"), nil) }()
			}
			select {
			case err := <-writes:
				t.Fatalf("a write did not wait: %v", err)
			case <-time.After(50 * time.Millisecond):
			}
			closeWhile(t, db, writes, 10)
		})
	}
	t.Run("about to lead beside an exclusive", func(t *testing.T) {
		dir := dbtest.Dir(t)
		leader := openAs(t, party.Leader, dir, nil)
		db, other := openAs(t, party.Member, dir, nil), openAs(t, party.Member, dir, &party.Options{Lead: party.LeadNever})
		x, err := other.Begin(bg)
		must(t, err)
		defer x.Discard()
		must(t, leader.Close())
		time.Sleep(50 * time.Millisecond)
		closeWhile(t, db, nil, 0)
	})
	t.Run("without a leader", func(t *testing.T) {
		dir := dbtest.Dir(t)
		leader := openAs(t, party.Leader, dir, &party.Options{WriteBuffer: 1 << 16})
		db := openAs(t, party.Member, dir, &party.Options{WriteBuffer: 1 << 16, Lead: party.LeadNever})
		must(t, leader.Close())
		writes := make(chan error)
		var n atomic.Int32
		go func() {
			for {
				if err := db.Put(bg, []byte("k"), make([]byte, 1000)); err != nil {
					writes <- err
					return
				}
				n.Add(1)
			}
		}()
		for last := int32(-1); last != n.Load() || last == 0; time.Sleep(50 * time.Millisecond) {
			last = n.Load()
		}
		closeWhile(t, db, writes, 1)
	})
}

func TestExclusiveLost(t *testing.T) {
	dir := dbtest.Dir(t)
	leader := openAs(t, party.Leader, dir, &bySockets.options)
	guest := open(t, dir, &bySockets.options)
	x, err := guest.Begin(bg)
	must(t, err)
	must(t, leader.Close())
	var b party.Batch
	b.Put([]byte("k"), nil)
	wantErr(t, "commit", x.Commit(bg, &b), party.ErrConnectionLost)
	if x, err = guest.Begin(bg); err != nil {
		t.Fatal(err)
	}
	must(t, x.Commit(bg, &b))
}

// roles records what OnRole is told.
type roles struct {
	mu sync.Mutex
	r  []party.Role
}

func (r *roles) add(role party.Role) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.r = append(r.r, role)
}

func (r *roles) get() []party.Role {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.r)
}

func TestOnRole(t *testing.T) {
	eachSharing(t, func(t *testing.T, s sharing) {
		dir := dbtest.Dir(t)
		var a, b roles
		first := openAs(t, party.Leader, dir, s.with(party.Options{OnRole: a.add}))
		second := open(t, dir, s.with(party.Options{OnRole: b.add}))
		must(t, first.Close())
		waitRole(t, second, party.Leader)
		must(t, second.Close())
		wantA := []party.Role{party.Leader, party.Closed}
		wantB := []party.Role{party.Guest, party.Electing, party.Leader, party.Closed}
		if s.memory() {
			wantA = []party.Role{party.Member, party.Leader, party.Closed}
			wantB = wantA
		}
		until(t, "first's roles", func() bool { return slices.Equal(a.get(), wantA) })
		until(t, "second's roles", func() bool { return slices.Equal(b.get(), wantB) })
	})
}

// Property: LeadFirst comes to lead though another led before, and no call of
// anybody fails meanwhile.
func TestHandOver(t *testing.T) { eachSharing(t, testHandOver) }

func testHandOver(t *testing.T, s sharing) {
	dir := dbtest.Dir(t)
	leader := openAs(t, party.Leader, dir, &s.options)
	others := []*party.DB{leader, open(t, dir, &s.options), open(t, dir, &s.options), open(t, dir, &bySockets.options)}
	ctx, cancel := context.WithCancel(bg)
	var wg sync.WaitGroup
	for i, db := range others {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := 0; ctx.Err() == nil; n++ {
				k := fmt.Appendf(nil, "%d/%d", i, n)
				if err := db.Put(bg, k, k); err != nil {
					t.Errorf("put: %v", err)
				}
				if v, err := db.Get(bg, k); err != nil || string(v) != string(k) {
					t.Errorf("get %s: %q, %v", k, v, err)
				}
			}
		}()
	}
	host := open(t, dir, s.with(party.Options{Lead: party.LeadFirst}))
	waitRole(t, host, party.Leader)
	waitRole(t, leader, s.beside)
	time.Sleep(20 * time.Millisecond) // some calls more
	cancel()
	wg.Wait()
	// A second one does not take it away: they are alike.
	open(t, dir, s.with(party.Options{Lead: party.LeadFirst}))
	time.Sleep(50 * time.Millisecond)
	if host.Role() != party.Leader {
		t.Errorf("role %v, want leader", host.Role())
	}
}

func TestLeadNever(t *testing.T) {
	eachSharing(t, func(t *testing.T, s sharing) {
		dir := dbtest.Dir(t)
		never := s.with(party.Options{Lead: party.LeadNever})
		ctx, cancel := context.WithTimeout(bg, 50*time.Millisecond)
		defer cancel()
		_, err := party.Open(ctx, dir, never)
		wantErr(t, "open without a leader", err, context.DeadlineExceeded)
		opened := make(chan *party.DB)
		go func() {
			db, err := party.Open(bg, dir, never)
			if err != nil {
				t.Error(err)
			}
			opened <- db
		}()
		leader := openAs(t, party.Leader, dir, &s.options)
		db := <-opened
		defer db.Close()
		if !s.memory() {
			waitRole(t, db, party.Guest)
			return
		}
		// It may have been the new leader's guest for a moment; it stays a member
		// when that has gone, and can be the first of the next.
		waitRole(t, db, party.Member)
		must(t, leader.Close())
		must(t, db.Put(bg, []byte("k"), []byte("v")))
		time.Sleep(50 * time.Millisecond)
		if db.Role() != party.Member {
			t.Errorf("role %v, want member", db.Role())
		}
		next := openAs(t, party.Leader, dir, nil)
		if v, err := next.Get(bg, []byte("k")); err != nil || string(v) != "v" {
			t.Errorf("get: %q, %v", v, err)
		}
		must(t, db.CompactRange(bg, party.Range{})) // the leader does it
	})
}

func TestReadOnly(t *testing.T) {
	eachSharing(t, testReadOnly)
	check := func(t *testing.T, db *party.DB, role party.Role) {
		t.Helper()
		checkReader(t, db)
		waitRole(t, db, role)
	}
	// Property: members that only read read on when the others have gone.
	t.Run("members left alone", func(t *testing.T) {
		needMemory(t)
		dir := dbtest.Dir(t)
		ro := &party.Options{ReadOnly: true}
		leader := openAs(t, party.Leader, dir, nil)
		must(t, leader.Put(bg, []byte("k"), []byte("v")))
		reader := openAs(t, party.Member, dir, ro)
		check(t, reader, party.Member)
		must(t, leader.Close())
		check(t, reader, party.Member)
		check(t, open(t, dir, ro), party.Member)
		writer := openAs(t, party.Leader, dir, nil)
		must(t, writer.Put(bg, []byte("l"), []byte("v")))
		if v, err := reader.Get(bg, []byte("l")); err != nil || string(v) != "v" {
			t.Errorf("get: %q, %v", v, err)
		}
		check(t, reader, party.Member)
	})
	// Property: who reads without any members makes way for one.
	t.Run("no member at first", func(t *testing.T) {
		needMemory(t)
		dir := dbtest.Dir(t)
		ro := &party.Options{ReadOnly: true}
		first := open(t, dir, nil)
		must(t, first.Put(bg, []byte("k"), []byte("v")))
		must(t, first.Close())
		reader := openAs(t, party.Reading, dir, ro)
		check(t, reader, party.Reading)
		second := openAs(t, party.Guest, dir, ro)
		check(t, second, party.Guest)
		writer := openAs(t, party.Leader, dir, nil)
		check(t, reader, party.Member)
		check(t, second, party.Member)
		if st, err := writer.Status(bg); err != nil || len(st.Members) != 3 {
			t.Errorf("status: %+v, %v", st, err)
		}
	})
}

func checkReader(t *testing.T, db *party.DB) {
	t.Helper()
	if v, err := db.Get(bg, []byte("k")); err != nil || string(v) != "v" {
		t.Errorf("get: %q, %v", v, err)
	}
	wantErr(t, "put", db.Put(bg, []byte("k"), nil), party.ErrReadOnly)
	wantErr(t, "delete", db.Delete(bg, []byte("k")), party.ErrReadOnly)
	wantErr(t, "clear", db.Clear(bg, party.ClearOptions{}), party.ErrReadOnly)
	_, err := db.Begin(bg)
	wantErr(t, "begin", err, party.ErrReadOnly)
}

func testReadOnly(t *testing.T, s sharing) {
	dir := dbtest.Dir(t)
	leader := openAs(t, party.Leader, dir, &s.options)
	must(t, leader.Put(bg, []byte("k"), []byte("v")))
	ro := &party.Options{ReadOnly: true, Sockets: true}
	guest := open(t, dir, ro)
	check := func(db *party.DB, role party.Role) {
		t.Helper()
		checkReader(t, db)
		if db.Role() != role {
			t.Errorf("role %v, want %v", db.Role(), role)
		}
	}
	check(guest, party.Guest)
	must(t, leader.Close())
	until(t, "reading", func() bool { return guest.Role() == party.Reading })
	check(guest, party.Reading)
	second := open(t, dir, ro)
	check(second, party.Guest)

	// Who may write takes over, and the readers follow.
	writer := openAs(t, party.Leader, dir, &s.options)
	must(t, writer.Put(bg, []byte("k"), []byte("v")))
	until(t, "guests", func() bool { return guest.Role() == party.Guest && second.Role() == party.Guest })
	check(guest, party.Guest)
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []party.Options{
		{MustExist: true, MustNotExist: true},
		{ReadOnly: true, MustNotExist: true},
		{Lead: 99},
		{Compression: 99},
		{MaxMessage: -1},
		{MaxMessage: 2 << 30},
		{WriteBuffer: -1},
	} {
		_, err := party.Open(bg, dbtest.Dir(t), &o)
		wantErr(t, fmt.Sprintf("%+v", o), err, party.ErrInvalid)
	}
}

func TestMaxMessage(t *testing.T) {
	dir := dbtest.Dir(t)
	o := &party.Options{MaxMessage: 1 << 20}
	leader, member := open(t, dir, o), open(t, dir, o)
	guest := open(t, dir, bySockets.with(*o))
	for _, db := range []*party.DB{leader, member, guest} {
		wantErr(t, "put", db.Put(bg, []byte("k"), make([]byte, 1<<20)), party.ErrTooLarge)
		must(t, db.Put(bg, []byte("k"), make([]byte, 1<<20-1<<10)))
		var b party.Batch
		b.Put([]byte("k"), make([]byte, 1<<20))
		wantErr(t, "write", db.Write(bg, &b), party.ErrTooLarge)
	}
	many := [][]byte{[]byte("k"), []byte("k")}
	if _, err := leader.GetMany(bg, many); err != nil {
		t.Errorf("leader's own: %v", err)
	}
	_, err := guest.GetMany(bg, many)
	wantErr(t, "get many", err, party.ErrTooLarge)
	if n := len(all(t, guest, party.IteratorOptions{})); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
	if errors.Is(err, party.ErrConnectionLost) || guest.Role() != party.Guest {
		t.Error("the connection was lost over it")
	}
}

// Property: of readers that open at once one hosts the others, and a writer
// gets in beside them.
func TestReadersAtOnce(t *testing.T) { eachSharing(t, testReadersAtOnce) }

func testReadersAtOnce(t *testing.T, s sharing) {
	for range 20 {
		dir := dbtest.Dir(t)
		first := open(t, dir, &s.options)
		must(t, first.Put(bg, []byte("k"), []byte("v")))
		must(t, first.Close())
		readers := make([]*party.DB, 8)
		var wg sync.WaitGroup
		for i := range readers {
			wg.Add(1)
			go func() {
				defer wg.Done()
				db, err := party.Open(bg, dir, s.with(party.Options{ReadOnly: true}))
				if err != nil {
					t.Error(err)
					return
				}
				readers[i] = db
			}()
		}
		wg.Wait()
		reading := 0
		for _, db := range readers {
			if v, err := db.Get(bg, []byte("k")); err != nil || string(v) != "v" {
				t.Errorf("get: %q, %v", v, err)
			}
			if db.Role() == party.Reading {
				reading++
			}
		}
		if reading != 1 {
			t.Errorf("%d handles read directly, want 1", reading)
		}
		writer := open(t, dir, &s.options)
		must(t, writer.Put(bg, []byte("k"), []byte("v")))
		for _, db := range readers {
			must(t, db.Close())
		}
		must(t, writer.Close())
	}
}

// Property: handles that were all closed leave nothing behind but LevelDB's own
// files.
func TestNothingIsLeftBehind(t *testing.T) {
	eachSharing(t, func(t *testing.T, s sharing) {
		dir := dbtest.Dir(t)
		leader := openAs(t, party.Leader, dir, &s.options)
		for i := range 4 {
			o := s.options
			o.Sockets = o.Sockets || i == 3
			other := open(t, dir, &o)
			must(t, other.Put(bg, []byte("k"), []byte("v")))
			must(t, other.Close())
		}
		until(t, "the others' end", func() bool {
			st, err := leader.Status(bg)
			return err == nil && len(st.Guests) == 0 && len(st.Members) < 2
		})
		must(t, leader.Close())
		entries, err := os.ReadDir(dir)
		must(t, err)
		for _, e := range entries {
			name := e.Name()
			if strings.HasPrefix(name, "party") || strings.HasSuffix(name, ".sock") || strings.HasSuffix(name, ".mem") {
				t.Errorf("%s is left", name)
			}
		}
	})
}

// Property: a call that waits when its handle is closed fails with ErrClosed, also
// while the handle is taking the lead.
func TestClosedWhileTakingOver(t *testing.T) {
	ctx := context.Background()
	rnd := partytest.Random(t)
	tries := 100
	if testing.Short() {
		tries = 20
	}
	for range tries {
		dir := dbtest.Dir(t)
		a := openAs(t, party.Leader, dir, &party.Options{Sockets: true})
		b := openAs(t, party.Guest, dir, &party.Options{Sockets: true})
		var wg sync.WaitGroup
		var puts atomic.Int64
		for g := range 16 {
			wg.Go(func() {
				for {
					err := b.Put(ctx, fmt.Appendf(nil, "k%d", g), []byte("v"))
					if errors.Is(err, party.ErrClosed) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					puts.Add(1)
				}
			})
		}
		until(t, "puts through the leader", func() bool { return puts.Load() > 16 })
		wg.Go(func() { a.Close() })
		time.Sleep(time.Duration(rnd.IntN(10000)) * time.Microsecond) // somewhere on the way
		b.Close()
		wg.Wait()
		if t.Failed() {
			return
		}
	}
}
