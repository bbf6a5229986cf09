package leader

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/syndtr/goleveldb/leveldb"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/lsm"
	"github.com/levelparty/party/internal/store"
)

func openLeader(t *testing.T, dir string) *Leader {
	t.Helper()
	c, err := Take(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	l, err := c.Open(lsm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// crash returns a copy of the directory as it is: what the next leader would
// find if the process were killed now.
func crash(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func put(key, value string, client byte, id, floor uint64) *store.Write {
	return &store.Write{
		Records:  format.AppendPut(nil, []byte(key), []byte(value)),
		Count:    1,
		Identity: store.Identity{Client: store.ClientID{client}, ID: id, Floor: floor},
	}
}

func mustCommit(t *testing.T, l *Leader, w *store.Write) {
	t.Helper()
	l.Commit(context.Background(), []*store.Write{w})
	if w.Err != nil {
		t.Fatal(w.Err)
	}
}

func get(t *testing.T, l *Leader, key string) string {
	t.Helper()
	v, err := l.Get([]byte(key), nil)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	return string(v)
}

// Property: a write that was applied by a leader that was killed is not applied
// again by the next, though others have written since.
func TestRetryIsAppliedOnce(t *testing.T) {
	dir := t.TempDir()
	l := openLeader(t, dir)
	mustCommit(t, l, put("k", "mine", 1, 7, 7))
	dir = crash(t, dir)

	l = openLeader(t, dir)
	mustCommit(t, l, put("k", "newer", 2, 1, 1))
	mustCommit(t, l, put("k", "mine", 1, 7, 7)) // sent again
	if got := get(t, l, "k"); got != "newer" {
		t.Errorf("after the retry: %q, want newer", got)
	}
	// A second crash does not make it forgotten.
	dir = crash(t, dir)
	l = openLeader(t, dir)
	mustCommit(t, l, put("k", "mine", 1, 7, 7))
	if got := get(t, l, "k"); got != "newer" {
		t.Errorf("after the second retry: %q, want newer", got)
	}
}

// Property: a write that was intended but not applied is applied when it is
// sent again, even if the leader died between the two steps, whatever took its
// sequence number.
func TestIntentWithoutWrite(t *testing.T) {
	dir := t.TempDir()
	l := openLeader(t, dir)
	mustCommit(t, l, put("k", "old", 1, 1, 1))
	// The leader dies having written the intent alone.
	l.once.buf = appendEntry(l.once.buf[:0], entryIntent, store.ClientID{1}, 2, uint64(l.db.LastSequence())+1, 1)
	if err := l.once.append(); err != nil {
		t.Fatal(err)
	}
	dir = crash(t, dir)

	l = openLeader(t, dir)
	mustCommit(t, l, put("other", "x", 2, 1, 1)) // takes the sequence number
	dir = crash(t, dir)
	l = openLeader(t, dir)
	mustCommit(t, l, put("k", "mine", 1, 2, 1))
	if got := get(t, l, "k"); got != "mine" {
		t.Errorf("got %q: an unapplied write was taken for applied", got)
	}
}

// Property: that holds, too, if a member went on after a leader that died in the
// write lock, and all of them died before there was a next leader, whoever comes
// then.
func TestIntentWithoutWriteAllDead(t *testing.T) {
	for _, shared := range []bool{true, false} {
		dir := t.TempDir()
		l, err := Join(t.Context(), dir, "test", false, lsm.Config{})
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		if ok, err := l.TryLead(t.Context()); !ok || err != nil {
			t.Fatal(ok, err)
		}
		mustCommit(t, l, put("k", "old", 1, 1, 1))
		last := uint64(l.db.LastSequence())
		l.once.buf = appendEntry(l.once.buf[:0], entryIntent, store.ClientID{1}, 2, last+1, 1)
		if err := l.once.append(); err != nil {
			t.Fatal(err)
		}
		mustCommit(t, l, put("other", "x", 0, 0, 0))
		dir = crash(t, dir)
		// What a member notes that finds the leader dead in the lock: leader.cut.
		block, err := os.OpenFile(filepath.Join(dir, coord.Name), os.O_RDWR, 0)
		if err == nil {
			_, err = block.WriteAt(binary.NativeEndian.AppendUint64(nil, last+1), 656)
			err = errors.Join(err, block.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		for round := range uint64(2) { // the first of them is killed, too
			if shared {
				if l, err = Join(t.Context(), dir, "test", false, lsm.Config{}); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { l.Close() })
				if ok, err := l.TryLead(t.Context()); !ok || err != nil {
					t.Fatal(ok, err)
				}
			} else {
				l = openLeader(t, dir)
			}
			mustCommit(t, l, put("k", "mine", 1, 2, 1))
			if got := get(t, l, "k"); got != "mine" {
				t.Errorf("shared %v: got %q: an unapplied write was taken for applied", shared, got)
			}
			mustCommit(t, l, put("k", "newer", 2, 1+round, 1))
			mustCommit(t, l, put("k", "mine", 1, 2, 1))
			if got := get(t, l, "k"); got != "newer" {
				t.Errorf("shared %v: got %q: an applied write was applied again", shared, got)
			}
			mustCommit(t, l, put("k", "mine", 3, 1+round, 1))
			dir = crash(t, dir)
		}
	}
}

// Property: intents are void once a program that keeps no record has written.
func TestIntentsVoidAfterStranger(t *testing.T) {
	dir := t.TempDir()
	l := openLeader(t, dir)
	mustCommit(t, l, put("k", "old", 1, 1, 1))
	l.once.buf = appendEntry(l.once.buf[:0], entryIntent, store.ClientID{1}, 2, uint64(l.db.LastSequence())+1, 1)
	if err := l.once.append(); err != nil {
		t.Fatal(err)
	}
	dir = crash(t, dir)
	// A stranger leads meanwhile and gives the number to a write of its own.
	stranger, err := leveldb.OpenFile(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if err := stranger.Put(fmt.Appendf(nil, "s%d", i), nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := stranger.Close(); err != nil {
		t.Fatal(err)
	}
	l = openLeader(t, dir)
	mustCommit(t, l, put("k", "mine", 1, 2, 1))
	if got := get(t, l, "k"); got != "mine" {
		t.Errorf("got %q: an unapplied write was taken for applied", got)
	}
}

// floorOf is a floor some ids below id.
func floorOf(id uint64) uint64 {
	if id <= 10 {
		return 1
	}
	return id - 10
}

func TestFloorForgets(t *testing.T) {
	l := openLeader(t, t.TempDir())
	for id := uint64(1); id <= 100; id++ {
		mustCommit(t, l, put("k", "v", 1, id, floorOf(id)))
	}
	if n := len(l.once.clients[store.ClientID{1}].applied); n != 11 {
		t.Errorf("%d records kept, want 11", n)
	}
	w := put("k", "v", 1, 5, 5)
	l.Commit(context.Background(), []*store.Write{w})
	if !errors.Is(w.Err, store.ErrInvalid) {
		t.Errorf("write below the floor: %v, want ErrInvalid", w.Err)
	}
	w = put("k", "v", 3, 1<<20, 1)
	l.Commit(context.Background(), []*store.Write{w})
	if !errors.Is(w.Err, store.ErrInvalid) {
		t.Errorf("write beyond the window: %v, want ErrInvalid", w.Err)
	}
}

func TestRecordStaysSmall(t *testing.T) {
	dir := t.TempDir()
	l := openLeader(t, dir)
	var ws []*store.Write
	for id := uint64(1); id <= maxOnceFile/entrySize*5/4; id++ {
		ws = append(ws, put("k", "v", 1, id, floorOf(id)))
		if len(ws) == 1000 {
			l.Commit(context.Background(), ws)
			for _, w := range ws {
				if w.Err != nil {
					t.Fatal(w.Err)
				}
			}
			ws = ws[:0]
		}
	}
	info, err := os.Stat(filepath.Join(dir, onceName))
	if err != nil || info.Size() > maxOnceFile/2 {
		t.Errorf("record of %d bytes, %v; want at most %d", info.Size(), err, maxOnceFile/2)
	}
}

// Property: the next leader keeps no facts that a client does not need.
func TestNextLeaderForgets(t *testing.T) {
	dir := t.TempDir()
	l := openLeader(t, dir)
	const last = 5000
	for id := uint64(1); id <= last; id++ {
		mustCommit(t, l, put("k", "v", 1, id, floorOf(id)))
	}
	l = openLeader(t, crash(t, dir))
	k := l.once.clients[store.ClientID{1}]
	if k == nil || k.floor != floorOf(last) || uint64(len(k.applied)) != last-floorOf(last)+1 {
		t.Errorf("got %+v, want the floor %d and the facts from there", k, floorOf(last))
	}
}

func TestDamagedRecord(t *testing.T) {
	dir := t.TempDir()
	l := openLeader(t, dir)
	mustCommit(t, l, put("k", "a", 1, 1, 1))
	mustCommit(t, l, put("k", "b", 1, 2, 1))
	l.Close()
	path := filepath.Join(dir, onceName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := (&once{dir: dir, clients: make(map[store.ClientID]*onceClient)}).load(1); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
}

func FuzzOnceLoad(f *testing.F) {
	f.Add(appendEntry(nil, entryIntent, store.ClientID{1}, 1, 2, 3))
	f.Add(appendEntry(appendEntry(nil, entryBase, store.ClientID{}, 1, 0, 0), entryFact, store.ClientID{1}, 1, 2, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, onceName), b, 0o600); err != nil {
			t.Fatal(err)
		}
		o := &once{dir: dir, clients: make(map[store.ClientID]*onceClient)}
		if _, err := o.load(1); err != nil {
			t.Fatal(err)
		}
	})
}

// Property: what many goroutines commit at once is applied, each once, and the
// sequence number counts it.
func TestConcurrentCommits(t *testing.T) {
	l := openLeader(t, t.TempDir())
	before := l.db.LastSequence()
	const goroutines, each = 16, 200
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				w := put(fmt.Sprintf("%d/%d", g, i), "v", byte(g+1), uint64(i+1), floorOf(uint64(i+1)))
				w.Sync = i%50 == 0
				l.Commit(context.Background(), []*store.Write{w})
				if w.Err != nil {
					t.Error(w.Err)
				}
			}
		}()
	}
	wg.Wait()
	if after := l.db.LastSequence(); after-before != goroutines*each {
		t.Errorf("sequence went from %d to %d, want %d more", before, after, goroutines*each)
	}
}

// Property: a write larger than the write buffer, which takes another way in
// the engine, is counted all the same.
func TestLargeWriteSequence(t *testing.T) {
	dir := t.TempDir()
	l := openLeader(t, dir)
	w := &store.Write{Identity: store.Identity{Client: store.ClientID{1}, ID: 1, Floor: 1}}
	value := make([]byte, 1<<20)
	for i := range 6 {
		w.Records = format.AppendPut(w.Records, fmt.Appendf(nil, "big%d", i), value)
		w.Count++
	}
	mustCommit(t, l, w)
	if after := l.db.LastSequence(); after != 6 {
		t.Errorf("sequence number %d after 6 records", after)
	}
	dir = crash(t, dir)
	l = openLeader(t, dir)
	mustCommit(t, l, put("big0", "newer", 2, 1, 1))
	w.Count = 6
	mustCommit(t, l, w)
	if got := get(t, l, "big0"); got != "newer" {
		t.Errorf("a large write was applied again")
	}
}

func TestBeginKeepsOthersWaiting(t *testing.T) {
	l := openLeader(t, t.TempDir())
	tx, end, err := l.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	other := make(chan error, 1)
	go func() {
		w := put("k", "other", 0, 0, 0)
		l.Commit(context.Background(), []*store.Write{w})
		other <- w.Err
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	w := put("k", "late", 0, 0, 0)
	l.Commit(ctx, []*store.Write{w})
	if !errors.Is(w.Err, context.DeadlineExceeded) {
		t.Errorf("commit beside an exclusive: %v, want DeadlineExceeded", w.Err)
	}
	mine := put("k", "mine", 0, 0, 0)
	tx.Commit(context.Background(), []*store.Write{mine})
	if mine.Err != nil || get(t, l, "k") != "mine" {
		t.Errorf("exclusive write: %v", mine.Err)
	}
	select {
	case err := <-other:
		t.Errorf("the other write did not wait: %v", err)
	default:
	}
	end()
	if err := <-other; err != nil || get(t, l, "k") != "other" {
		t.Errorf("the other write: %v", err)
	}
}

func TestClear(t *testing.T) {
	l := openLeader(t, t.TempDir())
	var b []byte
	const n = 2*clearChunk + 10
	for i := range n {
		b = format.AppendPut(b, fmt.Appendf(nil, "%06d", i), []byte("v"))
	}
	mustCommit(t, l, &store.Write{Records: b, Count: n})
	clear := func(c store.Clear) (total int64) {
		for more := true; more; {
			var k int64
			var err error
			if k, more, err = l.Clear(context.Background(), c); err != nil {
				t.Fatal(err)
			}
			total += k
			if c.Limit >= 0 {
				c.Limit -= k
			}
		}
		return total
	}
	if got := clear(store.Clear{Limit: 3, Reverse: true}); got != 3 {
		t.Errorf("cleared %d, want 3", got)
	}
	if ok, _ := l.Has(fmt.Appendf(nil, "%06d", n-1), nil); ok {
		t.Error("the last key is still there")
	}
	if got := clear(store.Clear{Limit: 0}); got != 0 {
		t.Errorf("cleared %d with limit 0", got)
	}
	if got := clear(store.Clear{Limit: -1, Bounds: store.Bounds{Lower: []byte("000010")}}); got != n-3-10 {
		t.Errorf("cleared %d, want %d", got, n-3-10)
	}
	// A step that is sent again deletes nothing more, and says what it did.
	c := store.Clear{Limit: 4, Identity: store.Identity{Client: store.ClientID{9}, ID: 1, Floor: 1}}
	for range 2 {
		if k, _, err := l.Clear(context.Background(), c); err != nil || k != 4 {
			t.Errorf("cleared %d, %v, want 4", k, err)
		}
	}
	if got := clear(store.Clear{Limit: -1}); got != 6 {
		t.Errorf("%d keys were left, want 6", got)
	}
}
