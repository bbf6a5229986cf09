package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"
)

// demoChild is one of the demo's places: a writer or the reader, with the
// process that fills it at present. Only the demo's loop touches it.
type demoChild struct {
	writer  int // 0 is the reader
	journal *journal
	proc    *demoProcess // nil while there is none
	role    string       // as last reported; "killed" and "starting" while there is none to report
	restart time.Time    // when the next process is due, if proc is nil

	first   uint64          // number of the process's first put
	skipped map[uint64]bool // puts a killed process may or may not have made

	ops     uint64 // of processes that have ended
	stale   uint64
	longest time.Duration // pause
	rate    demoRate
}

func (c *demoChild) name() string {
	if c.writer == 0 {
		return "reader"
	}
	return fmt.Sprintf("writer %d", c.writer)
}

// total is the number of operations of all of the place's processes.
func (c *demoChild) total() uint64 {
	if c.proc == nil {
		return c.ops
	}
	return c.ops + c.proc.ops
}

// demoProcess is a running worker.
type demoProcess struct {
	child   *demoChild
	cmd     *exec.Cmd
	pid     int
	stdin   io.WriteCloser
	stderr  tail
	killed  bool
	ops     uint64
	stale   uint64
	started time.Time
}

// demoEvent is something a process did: it reported, or it ended.
type demoEvent struct {
	proc   *demoProcess
	report *demoReport
	ended  error // set if report is not
}

// spawn starts a process for c.
func (d *demo) spawn(c *demoChild) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"demo-worker", "--dir", d.dir, "--writer", strconv.Itoa(c.writer),
		"--first", strconv.FormatUint(c.first, 10), "--seed", strconv.FormatUint(d.o.seed, 10)}
	for _, other := range d.children {
		if other.journal != nil && (c.writer == 0 || c == other) {
			args = append(args, "--journal", other.journal.f.Name())
		}
	}
	p := &demoProcess{child: c, cmd: exec.Command(exe, args...), started: time.Now()}
	p.cmd.Stderr = &p.stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.pid = p.cmd.Process.Pid
	c.proc, c.role = p, "starting"
	c.rate.reset()
	d.running.Go(func() {
		in := json.NewDecoder(stdout)
		for {
			r := new(demoReport)
			if in.Decode(r) != nil {
				break // it ended, perhaps in the middle of a line
			}
			d.events <- demoEvent{proc: p, report: r}
		}
		err := p.cmd.Wait()
		if err == nil {
			err = io.EOF
		}
		d.events <- demoEvent{proc: p, ended: err}
	})
	return nil
}

// buried takes the end of a process into account.
func (c *demoChild) buried() error {
	p := c.proc
	c.ops, c.stale = c.ops+p.ops, c.stale+p.stale
	c.proc = nil
	if c.journal == nil {
		return nil
	}
	acknowledged, err := c.journal.read()
	if err != nil {
		return err
	}
	if !p.killed {
		c.first = max(acknowledged+1, c.first)
		return nil
	}
	// The put after the last acknowledged one may have been made, or may still
	// be under way in another process. Its number is not used again.
	attempted := max(acknowledged+1, c.first)
	c.skipped[attempted] = true
	c.first = attempted + 1
	return nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - 8<<10; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf))
}

// demoRate is operations per second over the last second.
type demoRate struct {
	times []int64
	ops   []uint64
}

func (r *demoRate) reset() { r.times, r.ops = nil, nil }

func (r *demoRate) add(t int64, ops uint64) {
	r.times, r.ops = append(r.times, t), append(r.ops, ops)
	for len(r.times) > 2 && r.times[0] < t-int64(time.Second) {
		r.times, r.ops = r.times[1:], r.ops[1:]
	}
}

// perSecond is the rate over the time kept; recent, over the last report.
func (r *demoRate) perSecond() float64 { return r.over(len(r.times)) }
func (r *demoRate) recent() float64    { return r.over(2) }

func (r *demoRate) over(samples int) float64 {
	last := len(r.times) - 1
	first := last + 1 - samples
	if samples < 2 || first < 0 || r.times[last] == r.times[first] {
		return 0
	}
	return float64(r.ops[last]-r.ops[first]) / time.Duration(r.times[last]-r.times[first]).Seconds()
}
