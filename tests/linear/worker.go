//go:build unix

package linear

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/partytest"
)

// Helper is the name under which TestMain gives Worker to partytest.Main.
const Helper = "linear"

// job is what a process is told when it starts.
type job struct {
	Dir     string
	History string
	Way     string
	Index   int // in the campaign
	Seed    uint64
	Keys    int
	Clients int
	Handles int
	Pause   time.Duration // mean between operations of a client
	Ballast int           // keys beside each hot key
	Lie     string
}

// A report of a process: Kind is "ready", "role", "error" or "hang".
type report struct {
	Kind string
	Text string `json:",omitempty"`
}

// The orders that a process takes. Without orders it goes on for ever.
const (
	orderEnd   = "end"   // finish what is under way, close, exit
	orderClose = "close" // close while calls are under way, exit
)

// errLie is wrapped by the errors that mean a broken promise by themselves.
var errLie = errors.New("lie")

// opTime is how long an operation may take. Stops are far shorter.
const opTime = 15 * time.Second

// database is what clients use of a handle.
type database interface {
	party.KV
	Begin(ctx context.Context) (*party.Exclusive, error)
	Snapshot(ctx context.Context) (*party.Snapshot, error)
	CompactRange(ctx context.Context, r party.Range) error
}

// client is one goroutine of a process: it runs an operation after another.
type client struct {
	*process
	db    database
	rnd   *rand.Rand
	id, n int
}

// process is what the clients of one process share.
type process struct {
	job
	history *Recorder
	report  func(report)
	puts    atomic.Uint64
	noRetry bool
	closing atomic.Bool
}

// Worker is a process of a campaign.
func Worker(p *partytest.Self) error {
	w := &process{report: func(r report) { p.Report(r) }}
	if err := json.Unmarshal([]byte(p.Args[0]), &w.job); err != nil {
		return err
	}
	way, ok := FindWay(w.Way)
	if !ok {
		return fmt.Errorf("no way %q", w.Way)
	}
	var err error
	if w.history, err = Record(w.History); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var handles []*party.DB
	for range w.Handles {
		o := way.Options(w.Index)
		w.noRetry = o.NoRetry
		o.OnRole = func(r party.Role) { w.report(report{"role", r.String()}) }
		db, err := party.Open(ctx, w.Dir, &o)
		if err != nil {
			return err
		}
		defer db.Close()
		handles = append(handles, db)
	}
	w.report(report{Kind: "ready"})
	var wg sync.WaitGroup
	for i := range w.Clients {
		c := &client{
			process: w, id: i, db: handles[i%len(handles)],
			rnd: rand.New(rand.NewPCG(w.Seed, uint64(w.Index)<<8|uint64(i))),
		}
		if w.Lie != "" {
			c.db = newLiar(handles[i%len(handles)], w.Lie)
		}
		wg.Go(func() { c.run(ctx) })
	}
	if w.Ballast > 0 {
		wg.Go(func() { w.churn(ctx, handles[0]) })
	}
	var order string
	err = p.Order(&order)
	if order == orderClose {
		w.closing.Store(true)
		for _, db := range handles {
			if err := db.Close(); err != nil {
				return fmt.Errorf("close: %w", err)
			}
		}
	}
	stop()
	wg.Wait()
	for _, db := range handles {
		if err := db.Close(); err != nil {
			return fmt.Errorf("close: %w", err)
		}
	}
	if err == io.EOF {
		return nil // the parent has gone
	}
	return err
}

func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil && !c.closing.Load() {
		c.choose()(c)
		if c.rnd.IntN(4) == 0 {
			continue // some follow each other at once
		}
		select {
		case <-time.After(time.Duration(c.rnd.ExpFloat64() * float64(c.Pause))):
		case <-ctx.Done():
		}
	}
}

// do runs an operation: it is on record before it begins and when it has ended.
// fn fills in what it saw, and may set Return when its instant is over before it
// ends. If fn finds out only on its way what it writes, it calls c.history.Write
// before it does.
//
// lossy says that ErrConnectionLost is an answer even though the handle was to
// try again.
func (c *client) do(o Op, lossy bool, fn func(ctx context.Context, o *Op) error) {
	limit, hasty := 2*opTime, false
	if c.rnd.IntN(100) == 0 {
		limit, hasty = time.Duration(c.rnd.IntN(2000))*time.Microsecond, true
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c.n++
	o.Client, o.N, o.Outcome = c.id, c.n, Unknown
	o.Call = now()
	c.history.Write(&o)
	what := o.String()
	hang := time.AfterFunc(opTime, func() {
		c.report(report{"hang", fmt.Sprintf("process %d: %s: no answer for %v", c.Index, what, opTime)})
	})
	o.Call = now()
	err := fn(ctx, &o)
	hang.Stop()
	if o.Return == 0 {
		o.Return = now()
	}
	switch {
	case err == nil:
		o.Outcome = Done
	case errors.Is(err, party.ErrConnectionLost) && (lossy || c.noRetry),
		errors.Is(err, party.ErrClosed) && c.closing.Load(),
		errors.Is(err, context.DeadlineExceeded) && hasty:
		// What it was going to see it did not, and what it was going to write it
		// may yet.
	default:
		c.report(report{"error", fmt.Sprintf("process %d: %v: %v", c.Index, o, err)})
	}
	c.history.Write(&o)
}

// fresh returns the number of a new put.
func (p *process) fresh() ID { return ID(uint64(p.Index+1)*1_000_000 + p.puts.Add(1)) }

// churn writes ballast: keys that nobody looks at, so that logs and tables fill.
func (p *process) churn(ctx context.Context, db *party.DB) {
	rnd := rand.New(rand.NewPCG(p.Seed, uint64(p.Index)<<8|255))
	for ctx.Err() == nil && !p.closing.Load() {
		value := make([]byte, 1+rnd.IntN(4000))
		for i := range value {
			value[i] = byte(rnd.Uint32())
		}
		if rnd.IntN(8) == 0 {
			_ = db.Delete(ctx, ballast(rnd.IntN(p.Keys), rnd.IntN(p.Ballast)))
		} else {
			_ = db.Put(ctx, ballast(rnd.IntN(p.Keys), rnd.IntN(p.Ballast)), value)
		}
		select {
		case <-time.After(time.Duration(rnd.ExpFloat64() * float64(10*time.Millisecond))):
		case <-ctx.Done():
		}
	}
}

func ballast(key, n int) []byte { return fmt.Appendf(nil, "%s/%04d", keyName(key), n) }
