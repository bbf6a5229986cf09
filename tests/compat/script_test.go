package compat

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/partytest"
)

// The same operations by three engines, each in a process of its own that can
// be killed. work.js does the same as this file.

func key(i, d int) string { return fmt.Sprintf("k%04d", (i*31+d*100)%701) }

// value returns what compresses and what does not, short and over several
// blocks of a log.
func value(i int) string {
	n := i * 37 % 900
	if i%211 == 0 {
		n = 70000
	}
	if i%3 == 0 {
		return strings.Repeat(strconv.Itoa(i)+",", n)[:n]
	}
	var b strings.Builder
	for j := 0; b.Len() < n; j++ {
		fmt.Fprintf(&b, "%x", sha256.Sum256(fmt.Appendf(nil, "%d/%d", i, j)))
	}
	return b.String()[:n]
}

type writer interface {
	Put(key, value []byte)
	Delete(key []byte)
}

// operate adds the i-th operation to a batch.
func operate(b writer, i int) {
	switch {
	case i%5 == 4:
		b.Delete([]byte(key(i, 0)))
	case i%17 == 16:
		for d := range 3 {
			b.Put([]byte(key(i, d)), []byte(value(i)))
		}
	default:
		b.Put([]byte(key(i, 0)), []byte(value(i)))
	}
}

// model is what a database holds after some operations.
type model map[string]string

func (m model) Put(key, value []byte) { m[string(key)] = entry(key, value) }
func (m model) Delete(key []byte)     { delete(m, string(key)) }

// after returns the entries after the operations before number n, in order.
func after(n int) (entries []string) {
	m := make(model)
	for i := range n {
		operate(m, i)
	}
	for _, e := range m {
		entries = append(entries, e)
	}
	slices.Sort(entries)
	return entries
}

// The engines.
const (
	cpp = "LevelDB"
	gdb = "goleveldb"
	our = "party"
)

func TestMain(m *testing.M) {
	partytest.Main(map[string]partytest.Helper{
		our: func(p *partytest.Self) error {
			ctx := context.Background()
			o := &party.Options{WriteBuffer: 64 << 10, Lead: party.LeadFirst}
			if p.Args[2] == noSnappy {
				o.Compression = party.NoCompression
			}
			db, err := party.Open(ctx, p.Args[0], o)
			if err != nil {
				return err
			}
			if err := work(p, func(i int) error {
				var b party.Batch
				operate(&b, i)
				return db.Write(ctx, &b)
			}); err != nil {
				return err
			}
			return db.Close()
		},
		gdb: func(p *partytest.Self) error {
			o := &opt.Options{WriteBuffer: 64 << 10}
			if p.Args[2] == noSnappy {
				o.Compression = opt.NoCompression
			}
			db, err := leveldb.OpenFile(p.Args[0], o)
			if err != nil {
				return err
			}
			if err := work(p, func(i int) error {
				var b leveldb.Batch
				operate(&b, i)
				return db.Write(&b, nil)
			}); err != nil {
				return err
			}
			return db.Close()
		},
	})
	os.Exit(m.Run())
}

const noSnappy = "no-snappy"

// work carries the operations out until an order comes.
func work(p *partytest.Self, write func(i int) error) error {
	over := make(chan error, 1)
	go func() {
		var order json.RawMessage
		over <- p.Order(&order)
	}()
	from, err := strconv.Atoi(p.Args[1])
	for i := from; err == nil; i++ {
		select {
		case err := <-over:
			return err
		default:
		}
		if err = write(i); err == nil {
			p.Report(i)
		}
	}
	return err
}

// run has an engine carry out about n operations from number from on, and kills
// it in the middle of one or lets it end. It returns how many operations are
// acknowledged.
func run(t *testing.T, engine, dir string, from, n int, compression string, kill bool) (acknowledged int) {
	t.Helper()
	var p *partytest.Process
	if args := []string{dir, strconv.Itoa(from), compression}; engine == cpp {
		_, here, _, _ := runtime.Caller(0)
		p = partytest.Node(t, filepath.Join(filepath.Dir(here), "work.js"), args...)
	} else {
		p = partytest.Start(t, engine, args...)
	}
	i := from - 1
	for i < from+n {
		p.Expect(&i)
	}
	if kill {
		p.KillKeep()
	} else {
		p.Order("end")
	}
	for p.Report(&i) {
	}
	if !kill {
		p.End()
	}
	return i + 1
}

// readParty reads all through package party, in both directions.
func readParty(t *testing.T, dir string, readOnly bool) (entries []string) {
	t.Helper()
	ctx := context.Background()
	db, err := party.Open(ctx, dir, &party.Options{MustExist: !readOnly, ReadOnly: readOnly, WriteBuffer: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	it := db.Iterator(ctx, party.IteratorOptions{})
	for it.Next() {
		entries = append(entries, entry(it.Key(), it.Value()))
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	it.Close()
	back := db.Iterator(ctx, party.IteratorOptions{Reverse: true})
	defer back.Close()
	for i := len(entries) - 1; i >= 0; i-- {
		if !back.Next() || entry(back.Key(), back.Value()) != entries[i] {
			t.Fatalf("backward, entry %d: %q, %v", i, back.Key(), back.Err())
		}
	}
	return entries
}

// copyOf copies a database, without sockets.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(copied, e.Name()), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return copied
}

// logs returns the names of the logs in a directory, in order.
func logs(t *testing.T, dir string) []string {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(logs)
	return logs
}
