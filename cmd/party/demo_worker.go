package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/levelparty/party"
)

// demoWorker is a process of the demo. It is the example of how to use the
// package: open the directory, and read or write. Everything else here is
// bookkeeping, for the parent to see what happens and to check it.
type demoWorker struct {
	dir      string
	writer   int // 0 is the reader
	journals []string
	first    uint64 // number of a writer's first put
	seed     uint64

	start    time.Time
	ops      atomic.Uint64
	stale    atomic.Uint64
	last     atomic.Int64 // when the last operation succeeded, since start
	mu       sync.Mutex   // guards what follows
	pauses   []demoPause
	out      *json.Encoder
	stopping chan struct{}
}

// newDemoWorker is a command that only demo starts.
func newDemoWorker() *cobra.Command {
	w := &demoWorker{}
	cmd := &cobra.Command{
		Use:    "demo-worker",
		Hidden: true,
		RunE:   func(cmd *cobra.Command, _ []string) error { return w.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.StringVar(&w.dir, "dir", "", "")
	flags.IntVar(&w.writer, "writer", 0, "")
	flags.StringArrayVar(&w.journals, "journal", nil, "")
	flags.Uint64Var(&w.first, "first", 1, "")
	flags.Uint64Var(&w.seed, "seed", 0, "")
	return cmd
}

// demoReport is what a worker tells its parent, as a JSON line.
type demoReport struct {
	Time   int64       `json:"t"`              // nanoseconds since 1970, as all times here
	Role   string      `json:"role,omitempty"` // if it has changed
	Ops    uint64      `json:"ops"`            // of this process, so far
	Stale  uint64      `json:"stale,omitempty"`
	Pauses []demoPause `json:"pauses,omitempty"`
	Failed string      `json:"failed,omitempty"` // a call failed, and this is its error
}

// demoPause is a time in which no operation of a process succeeded.
type demoPause struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

const (
	demoReportEvery = 100 * time.Millisecond
	demoPauseMin    = time.Millisecond // less is not worth telling
	demoPausesMax   = 100              // of one report
)

func (w *demoWorker) run(ctx context.Context) error {
	// Ctrl-C in the terminal reaches all processes in it. The parent decides
	// what it means; the worker obeys the parent alone.
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP)
	w.start = time.Now()
	w.out = json.NewEncoder(os.Stdout)
	w.stopping = make(chan struct{})
	go w.obey()

	db, err := party.Open(ctx, w.dir, &party.Options{
		OnRole: func(r party.Role) { w.send(demoReport{Role: r.String()}) },
	})
	if err != nil {
		return err
	}
	w.last.Store(int64(time.Since(w.start)))
	reported := make(chan struct{})
	go w.report(reported)
	records := party.NewTyped(db, party.UTF8, party.JSON[demoRecord]())
	if w.writer > 0 {
		err = w.write(ctx, records)
	} else {
		err = w.read(ctx, records)
	}
	if err != nil {
		w.send(demoReport{Failed: err.Error()})
	}
	<-w.stopping
	<-reported
	return errors.Join(err, db.Close())
}

// obey stops the worker in order when the parent says so, and at once when the
// parent is gone: its end of the pipe is closed by whatever ends it, kill -9
// included, so no worker outlives it.
func (w *demoWorker) obey() {
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil || line != "stop\n" {
		os.Exit(exitFailure)
	}
	close(w.stopping)
}

func (w *demoWorker) write(ctx context.Context, records *party.Typed[string, demoRecord]) error {
	j, err := openJournal(w.journals[0])
	if err != nil {
		return err
	}
	pid := os.Getpid()
	for n := w.first; !w.stopped(); n++ {
		r := demoRecord{Writer: w.writer, N: n, PID: pid, Time: time.Now()}
		if err := records.Put(ctx, demoKey(w.writer, n), r); err != nil {
			return err
		}
		if err := j.acknowledged(n); err != nil {
			return err
		}
		w.succeeded()
	}
	return nil
}

// read gets what a writer has just been told is stored: whichever process it
// was stored through, it must be there.
func (w *demoWorker) read(ctx context.Context, records *party.Typed[string, demoRecord]) error {
	journals := make([]*journal, len(w.journals))
	for i, path := range w.journals {
		var err error
		if journals[i], err = openJournal(path); err != nil {
			return err
		}
	}
	rnd := rand.New(rand.NewPCG(w.seed, 0))
	for !w.stopped() {
		i := rnd.IntN(len(journals))
		n, err := journals[i].read()
		if err != nil {
			return err
		}
		if n == 0 {
			time.Sleep(time.Millisecond)
			w.last.Store(int64(time.Since(w.start)))
			continue
		}
		r, err := records.Get(ctx, demoKey(i+1, n))
		switch {
		case errors.Is(err, party.ErrNotFound), err == nil && r.N < n:
			w.stale.Add(1)
		case err != nil:
			return err
		}
		w.succeeded()
	}
	return nil
}

func (w *demoWorker) stopped() bool {
	select {
	case <-w.stopping:
		return true
	default:
		return false
	}
}

// succeeded counts an operation, and notes the time before it if it was long.
func (w *demoWorker) succeeded() {
	now := time.Since(w.start)
	before := time.Duration(w.last.Swap(int64(now)))
	w.ops.Add(1)
	if now-before < demoPauseMin {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pauses) < demoPausesMax {
		w.pauses = append(w.pauses, w.pause(before, now))
	}
}

func (w *demoWorker) pause(from, to time.Duration) demoPause {
	zero := w.start.UnixNano()
	return demoPause{From: zero + int64(from), To: zero + int64(to)}
}

// report reports until the parent says stop.
func (w *demoWorker) report(done chan<- struct{}) {
	defer close(done)
	for {
		select {
		case <-w.stopping:
			w.send(demoReport{})
			return
		case <-time.After(demoReportEvery):
			w.send(demoReport{})
		}
	}
}

// send sends r with all there is to tell.
func (w *demoWorker) send(r demoReport) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r.Time = time.Now().UnixNano()
	r.Ops, r.Stale = w.ops.Load(), w.stale.Load()
	r.Pauses, w.pauses = w.pauses, nil
	// A pause that goes on is told as far as it has gone: nobody may ever see
	// its end.
	last, now := time.Duration(w.last.Load()), time.Since(w.start)
	if last > 0 && now-last > demoReportEvery {
		r.Pauses = append(r.Pauses, w.pause(last, now))
	}
	if err := w.out.Encode(r); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitFailure)
	}
}
