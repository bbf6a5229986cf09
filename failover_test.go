package party_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/levelparty/party"
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
// ranges and limits, by every protocol.
func TestIteratorOverFailover(t *testing.T) {
	keys := trickyKeys()
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
				dir := t.TempDir()
				leader := open(t, dir, nil)
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
						leader = open(t, dir, nil)
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
	dir := t.TempDir()
	first := open(t, dir, nil)
	keys := fill(t, first, 1000)
	db := open(t, dir, &party.Options{Lead: party.LeadLast})
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
			second := open(t, dir, nil)
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
	for _, lead := range []party.Lead{party.LeadWhenFree, party.LeadNever} {
		t.Run(fmt.Sprint(lead), func(t *testing.T) {
			dir := t.TempDir()
			leader := open(t, dir, nil)
			db := open(t, dir, &party.Options{Lead: lead})
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
				next = open(t, dir, nil)
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

func TestNoRetry(t *testing.T) {
	for _, p := range protos {
		t.Run(p.String(), func(t *testing.T) {
			dir := t.TempDir()
			leader := open(t, dir, nil)
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
			open(t, dir, nil)
			must(t, db.Put(bg, []byte("k"), nil))
		})
	}
}

func TestSnapshotLost(t *testing.T) {
	dir := t.TempDir()
	leader := open(t, dir, nil)
	fill(t, leader, 10)
	guest := open(t, dir, nil)
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

func TestExclusiveLost(t *testing.T) {
	dir := t.TempDir()
	leader, guest := open(t, dir, nil), open(t, dir, nil)
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
	dir := t.TempDir()
	var a, b roles
	first := open(t, dir, &party.Options{OnRole: a.add})
	second := open(t, dir, &party.Options{OnRole: b.add})
	must(t, first.Close())
	until(t, "the lead", func() bool { return second.Role() == party.Leader })
	must(t, second.Close())
	wantA := []party.Role{party.Leader, party.Closed}
	wantB := []party.Role{party.Guest, party.Electing, party.Leader, party.Closed}
	until(t, "first's roles", func() bool { return slices.Equal(a.get(), wantA) })
	until(t, "second's roles", func() bool { return slices.Equal(b.get(), wantB) })
}

// Property: LeadFirst comes to lead though another led before, and no call of
// anybody fails meanwhile.
func TestHandOver(t *testing.T) {
	dir := t.TempDir()
	leader := open(t, dir, nil)
	others := []*party.DB{leader, open(t, dir, nil), open(t, dir, nil)}
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
	host := open(t, dir, &party.Options{Lead: party.LeadFirst})
	until(t, "the lead", func() bool { return host.Role() == party.Leader })
	until(t, "guests", func() bool { return leader.Role() == party.Guest })
	time.Sleep(20 * time.Millisecond) // some calls more
	cancel()
	wg.Wait()
	// A second one does not take it away: they are alike.
	open(t, dir, &party.Options{Lead: party.LeadFirst})
	if host.Role() != party.Leader {
		t.Errorf("role %v, want leader", host.Role())
	}
}

func TestLeadNever(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(bg, 50*time.Millisecond)
	defer cancel()
	_, err := party.Open(ctx, dir, &party.Options{Lead: party.LeadNever})
	wantErr(t, "open without a leader", err, context.DeadlineExceeded)
	opened := make(chan *party.DB)
	go func() {
		db, err := party.Open(bg, dir, &party.Options{Lead: party.LeadNever})
		if err != nil {
			t.Error(err)
		}
		opened <- db
	}()
	open(t, dir, nil)
	db := <-opened
	defer db.Close()
	if db.Role() != party.Guest {
		t.Errorf("role %v, want guest", db.Role())
	}
}

func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	leader := open(t, dir, nil)
	must(t, leader.Put(bg, []byte("k"), []byte("v")))
	ro := &party.Options{ReadOnly: true}
	guest := open(t, dir, ro)
	check := func(db *party.DB, role party.Role) {
		t.Helper()
		if v, err := db.Get(bg, []byte("k")); err != nil || string(v) != "v" {
			t.Errorf("get: %q, %v", v, err)
		}
		if db.Role() != role {
			t.Errorf("role %v, want %v", db.Role(), role)
		}
		wantErr(t, "put", db.Put(bg, []byte("k"), nil), party.ErrReadOnly)
		wantErr(t, "delete", db.Delete(bg, []byte("k")), party.ErrReadOnly)
		wantErr(t, "clear", db.Clear(bg, party.ClearOptions{}), party.ErrReadOnly)
		_, err := db.Begin(bg)
		wantErr(t, "begin", err, party.ErrReadOnly)
	}
	check(guest, party.Guest)
	must(t, leader.Close())
	until(t, "reading", func() bool { return guest.Role() == party.Reading })
	check(guest, party.Reading)
	second := open(t, dir, ro)
	check(second, party.Guest)

	// Who may write takes over, and the readers follow.
	writer := open(t, dir, nil)
	until(t, "the lead", func() bool { return writer.Role() == party.Leader })
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
		_, err := party.Open(bg, t.TempDir(), &o)
		wantErr(t, fmt.Sprintf("%+v", o), err, party.ErrInvalid)
	}
}

func TestMaxMessage(t *testing.T) {
	dir := t.TempDir()
	o := &party.Options{MaxMessage: 1 << 20}
	leader, guest := open(t, dir, o), open(t, dir, o)
	for _, db := range []*party.DB{leader, guest} {
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
func TestReadersAtOnce(t *testing.T) {
	for range 20 {
		dir := t.TempDir()
		first := open(t, dir, nil)
		must(t, first.Put(bg, []byte("k"), []byte("v")))
		must(t, first.Close())
		readers := make([]*party.DB, 8)
		var wg sync.WaitGroup
		for i := range readers {
			wg.Add(1)
			go func() {
				defer wg.Done()
				db, err := party.Open(bg, dir, &party.Options{ReadOnly: true})
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
		writer := open(t, dir, nil)
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
	dir := t.TempDir()
	leader := open(t, dir, nil)
	for range 3 {
		guest := open(t, dir, nil)
		must(t, guest.Put(bg, []byte("k"), []byte("v")))
		must(t, guest.Close())
	}
	until(t, "the guests' end", func() bool {
		st, err := leader.Status(bg)
		return err == nil && len(st.Guests) == 0
	})
	must(t, leader.Close())
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, "party") || strings.HasSuffix(name, ".sock") {
			t.Errorf("%s is left", name)
		}
	}
}
