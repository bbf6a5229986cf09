//go:build unix

package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/partytest"
)

// A worker writes one batch after the other under its own name. What its keys
// hold follows from the number of the last batch, which is under "<name>/at":
// whoever reads can tell whether a batch is there as a whole, and all before it.

const slots = 48 // keys of a worker, but for "at"

// job is what a worker is told.
type job struct {
	Dir     string
	Name    string
	Lead    party.Lead
	Sockets bool
	Idle    bool // writes from the order to go on
	Big     bool // a large memtable, so that everything stays in the logs
	Long    bool // a batch at the beginning that is longer than a log grows at once
}

// A report of a worker. Kind is "ready", "leads", "ack", "view", "viewed", "hits"
// or "error".
type report struct {
	Kind string
	N    int            `json:",omitempty"` // of the batch
	At   map[string]int `json:",omitempty"` // batches by name
	Hits map[string]int `json:",omitempty"` // of failpoints
	Text string         `json:",omitempty"`
}

// The orders of a worker.
const (
	orderGo    = "go"    // write
	orderView  = "view"  // report what is there
	orderHits  = "hits"  // report how often it came to each step
	orderClose = "close" // end in order
)

// value is what batch i of a worker writes.
func value(name string, i int) string {
	h := fnv.New64()
	io.WriteString(h, name)
	rnd := rand.New(rand.NewPCG(h.Sum64(), uint64(i)))
	b := make([]byte, 300+rnd.IntN(1800))
	for j := range b {
		b[j] = 'a' + byte(rnd.Uint32()%26)
	}
	return strconv.Itoa(i) + string(b)
}

// content returns what a worker's keys hold behind batch at.
func content(name string, at int) map[string]string {
	m := make(map[string]string)
	if at == 0 {
		return m
	}
	for i := max(1, at-2*slots); i <= at; i++ {
		m[key(name, i)] = strconv.Itoa(i) // the value itself is made once, below
		if i%3 == 0 {
			delete(m, key(name, i+7))
		}
	}
	for k, i := range m {
		n, _ := strconv.Atoi(i)
		m[k] = value(name, n)
	}
	m[name+"/at"] = strconv.Itoa(at)
	return m
}

func key(name string, i int) string { return fmt.Sprintf("%s/k%02d", name, i%slots) }

func batch(name string, i int) *party.Batch {
	b := new(party.Batch)
	b.Put([]byte(key(name, i)), []byte(value(name, i)))
	b.Put([]byte(name+"/at"), []byte(strconv.Itoa(i)))
	if i%3 == 0 {
		b.Delete([]byte(key(name, i+7)))
	}
	return b
}

// errWrong is wrapped by the errors that mean a broken promise.
var errWrong = errors.New("wrong")

// judge looks whether entries are what some batches of all workers leave, and
// returns how many of each.
func judge(entries map[string]string) (at map[string]int, err error) {
	at = make(map[string]int)
	names := make(map[string]int) // and how many keys each has
	for k := range entries {
		name, _, _ := strings.Cut(k, "/")
		names[name]++
	}
	for name, n := range names {
		if name == "long" {
			continue
		}
		i, err := strconv.Atoi(entries[name+"/at"])
		if err != nil {
			return nil, fmt.Errorf("%w: %s has keys, but no batch", errWrong, name)
		}
		want := content(name, i)
		for k, v := range want {
			if got := entries[k]; got != v {
				return nil, fmt.Errorf("%w: behind batch %d of %s, %s is %.10q, want %.10q", errWrong, i, name, k, got, v)
			}
		}
		if n != len(want) {
			return nil, fmt.Errorf("%w: behind batch %d of %s there are %d keys, want %d", errWrong, i, name, n, len(want))
		}
		at[name] = i
	}
	return at, nil
}

// all reads everything.
func all(ctx context.Context, db *party.DB) (map[string]string, error) {
	it := db.Iterator(ctx, party.IteratorOptions{OneState: true})
	defer it.Close()
	m := make(map[string]string)
	for it.Next() {
		m[string(it.Key())] = string(it.Value())
	}
	return m, it.Err()
}

func (j job) options() party.Options {
	o := party.Options{WriteBuffer: 64 << 10, Retention: -1, Lead: j.Lead, Sockets: j.Sockets}
	if j.Big {
		o.WriteBuffer = 4 << 20
	}
	return o
}

// work is a worker.
func work(p *partytest.Self) error {
	var j job
	if err := json.Unmarshal([]byte(p.Args[0]), &j); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o := j.options()
	o.OnRole = func(r party.Role) {
		if r == party.Leader {
			p.Report(report{Kind: "leads"})
		}
	}
	db, err := party.Open(ctx, j.Dir, &o)
	if err != nil {
		return err
	}
	p.Report(report{Kind: "ready"})
	wrong := func(err error) {
		if ctx.Err() == nil && !errors.Is(err, party.ErrConnectionLost) {
			p.Report(report{Kind: "error", Text: j.Name + ": " + err.Error()})
		}
	}
	var wg sync.WaitGroup
	begin := make(chan struct{})
	if !j.Idle {
		close(begin)
	}
	wg.Go(func() {
		select {
		case <-begin:
		case <-ctx.Done():
			return
		}
		if j.Long {
			if err := db.Put(ctx, []byte("long/"+j.Name), make([]byte, 5<<18)); err != nil {
				wrong(fmt.Errorf("long put: %w", err))
			}
		}
		for i := 1; ctx.Err() == nil; i++ {
			if err := db.Write(ctx, batch(j.Name, i), party.WriteOptions{Sync: i%16 == 5}); err != nil {
				wrong(fmt.Errorf("batch %d: %w", i, err))
				return
			}
			p.Report(report{Kind: "ack", N: i})
			time.Sleep(200 * time.Microsecond)
		}
	})
	seen := make(map[string]int)
	var mu sync.Mutex
	look := func() {
		mu.Lock()
		defer mu.Unlock()
		entries, err := all(ctx, db)
		var at map[string]int
		if err == nil {
			at, err = judge(entries)
		}
		if err != nil {
			wrong(fmt.Errorf("read: %w", err))
			return
		}
		for name, n := range seen {
			if at[name] < n {
				wrong(fmt.Errorf("%w: batch %d of %s was there, now it is %d", errWrong, n, name, at[name]))
			}
		}
		seen = at
		p.Report(report{Kind: "view", At: at})
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			look()
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	for {
		var order string
		if err = p.Order(&order); err != nil {
			break
		}
		switch order {
		case orderGo:
			close(begin)
		case orderView:
			look()
			p.Report(report{Kind: "viewed"})
		case orderHits:
			p.Report(report{Kind: "hits", Hits: failpoint.Hits()})
		}
		if order == orderClose {
			break
		}
	}
	cancel()
	wg.Wait()
	err = db.Close()
	p.Report(report{Kind: "hits", Hits: failpoint.Hits()})
	return err
}
