//go:build linux

package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/signal"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/partytest"
)

// job is what a process is told when it starts.
type job struct {
	Dir   string
	Board string
	State string // directory of what watchers leave to their successors
	Way   string
	Slot  int
	Gen   uint64
	Seed  uint64
	Hold  time.Duration // of snapshots, at most
}

// A report of a process. Kind is "ready", "role", "stats", "lie" or "hang"; of a
// Node process also "npm", a fault of its package.
type report struct {
	Kind  string
	Text  string `json:",omitempty"`
	Stats *stats `json:",omitempty"`
}

// stats is what a process has done so far.
type stats struct {
	Ops       uint64
	Unknown   uint64 // writes whose outcome it was not told
	Conflicts uint64
	Watched   uint64 // changes
	Compared  uint64 // states replayed from changes and compared with a snapshot
	Gaps      uint64 // that were allowed
	Held      uint64 // snapshots that stayed the same
	Lost      uint64 // snapshots that ended with their leader, as a guest's does
}

func (s *stats) add(o stats) {
	s.Ops += o.Ops
	s.Unknown += o.Unknown
	s.Conflicts += o.Conflicts
	s.Watched += o.Watched
	s.Compared += o.Compared
	s.Gaps += o.Gaps
	s.Held += o.Held
	s.Lost += o.Lost
}

// The orders of a process. Without one it goes on for ever.
const (
	orderEnd   = "end"   // finish what is under way, close, exit
	orderClose = "close" // close while calls are under way, exit
)

// patience is how long a call may take before it is taken to hang. Stops are far
// shorter, and writes wait for a stopped process.
const patience = 3 * time.Minute

// worker is a process.
type worker struct {
	job
	way     way
	db      *party.DB
	board   *board
	ctx     context.Context // ends when the process is to end
	report  func(report)
	closing atomic.Bool

	ops, unknown, conflicts, watched, compared, gaps, held, lost atomic.Uint64
}

// work is a Go process of the soak.
func work(p *partytest.Self) error {
	signal.Ignore(unix.SIGINT) // it is for the parent
	debug.SetTraceback("all")
	w := &worker{report: func(r report) { p.Report(r) }}
	if err := json.Unmarshal([]byte(p.Args[0]), &w.job); err != nil {
		return err
	}
	w.way = findWay(w.Way)
	var err error
	if w.board, err = openBoard(w.Board); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	w.ctx = ctx
	o := w.way.options
	o.OnRole = func(r party.Role) { w.report(report{Kind: "role", Text: r.String()}) }
	if w.db, err = party.Open(ctx, w.Dir, &o); err != nil {
		return err
	}
	w.report(report{Kind: "ready"})
	var wg sync.WaitGroup
	for i, task := range []func(*rand.Rand){
		w.writeOwn, w.peek, w.writeBatches, w.bank, w.count, w.swap, w.scan, w.churn, w.hold, w.watch,
	} {
		rnd := rand.New(rand.NewPCG(w.Seed, uint64(w.Slot)<<32|w.Gen<<8|uint64(i)))
		wg.Go(func() { task(rnd) })
	}
	wg.Go(w.tell)
	var order string
	if err = p.Order(&order); err == io.EOF {
		err = nil // the parent has gone
	}
	if order == orderClose {
		w.closing.Store(true)
		err = errors.Join(err, w.db.Close())
	}
	stop()
	wg.Wait()
	return errors.Join(err, w.db.Close())
}

// tell reports what was done, twice a second: of a process that is killed little
// is not known.
func (w *worker) tell() {
	for ending := false; !ending; {
		select {
		case <-time.After(500 * time.Millisecond):
		case <-w.ctx.Done():
			ending = true
		}
		w.report(report{Kind: "stats", Stats: &stats{
			Ops: w.ops.Load(), Unknown: w.unknown.Load(), Conflicts: w.conflicts.Load(), Watched: w.watched.Load(),
			Compared: w.compared.Load(), Gaps: w.gaps.Load(), Held: w.held.Load(), Lost: w.lost.Load(),
		}})
	}
}

// goesOn reports whether the process goes on, after a pause of that mean.
func (w *worker) goesOn(rnd *rand.Rand, pause time.Duration) bool {
	if pause > 0 {
		select {
		case <-time.After(min(time.Duration(rnd.ExpFloat64()*float64(pause)), 10*pause)):
		case <-w.ctx.Done():
		}
	}
	return w.ctx.Err() == nil && !w.closing.Load()
}

// lie reports a broken promise. The parent ends everything.
func (w *worker) lie(format string, args ...any) {
	w.report(report{Kind: "lie", Text: fmt.Sprintf("%s in slot %d, generation %d: %s", w.Way, w.Slot, w.Gen, fmt.Sprintf(format, args...))})
}

// do runs one operation. What it returns is nil, or an error that is no lie: a
// write may then have been applied or not, if it is not an ErrNotSupported or an
// ErrConflict.
func (w *worker) do(what string, fn func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	hang := time.AfterFunc(patience, func() {
		w.report(report{Kind: "hang", Text: fmt.Sprintf("%s in slot %d, generation %d: %s: no answer for %v", w.Way, w.Slot, w.Gen, what, patience)})
	})
	err := fn(ctx)
	hang.Stop()
	w.ops.Add(1)
	switch {
	case err == nil || err == errAbsent:
	case errors.Is(err, party.ErrConflict):
		w.conflicts.Add(1)
	case errors.Is(err, party.ErrConnectionLost):
		w.unknown.Add(1)
	}
	if err != nil && !w.excused(err) {
		w.lie("%s: %v", what, err)
	}
	return err
}

// excused says which errors are no lies.
func (w *worker) excused(err error) bool {
	switch {
	case err == nil, err == errAbsent, errors.Is(err, errLost):
		return true
	case errors.Is(err, party.ErrClosed):
		return w.closing.Load()
	case errors.Is(err, party.ErrNotSupported):
		return w.board.nodes() // one may lead
	case errors.Is(err, party.ErrConnectionLost):
		// The calls that are not sent again are those of a handle that asks for it,
		// and of any guest what consists of several calls.
		return w.way.options.NoRetry || errors.Is(err, errOnce)
	case errors.Is(err, party.ErrConflict):
		return true
	}
	return false
}

// errAbsent stands for a missing key where that is no failure.
var errAbsent = errors.New("absent")

// errOnce is joined to the errors of calls that are not sent again.
var errOnce = errors.New("once")

// once marks the errors of calls that are not sent again.
func once(err error) error {
	if errors.Is(err, party.ErrConnectionLost) {
		return errors.Join(errOnce, err)
	}
	return err
}

// get returns the value of a key, errAbsent if there is none.
func (w *worker) get(key []byte) (value []byte, err error) {
	err = w.do("get "+string(key), func(ctx context.Context) (err error) {
		if value, err = w.db.Get(ctx, key); errors.Is(err, party.ErrNotFound) {
			err = errAbsent
		}
		return err
	})
	return value, err
}

// syncSometimes returns the options of a write: one of ten is synced.
func syncSometimes(rnd *rand.Rand) party.WriteOptions {
	return party.WriteOptions{Sync: rnd.IntN(10) == 0}
}

// wrote adds to the bytes that were written.
func (w *worker) wrote(n int) { w.board.word(wordBytes).Add(uint64(n) + 64) }
