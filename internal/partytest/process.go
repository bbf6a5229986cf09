// Package partytest starts, watches and kills real processes for tests. A test
// binary re-executes itself: Main, called from TestMain, turns the copy into
// the helper that the test asked for.
package partytest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

const helperEnv = "PARTY_TEST_HELPER"

// Helper is what a helper process does: it reads orders, gives reports, and
// ends the process with what it returns.
type Helper func(p *Self) error

// Self is a helper process, seen from inside.
type Self struct {
	Args []string
	in   *json.Decoder
	mu   sync.Mutex
	out  *json.Encoder
}

// Order reads the next order into v. io.EOF: the test has gone, or wants the
// helper to end.
func (p *Self) Order(v any) error { return p.in.Decode(v) }

// Report sends v to the test.
func (p *Self) Report(v any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.out.Encode(v); err != nil {
		os.Exit(1) // the test has gone
	}
}

// Main runs the helper this process was started as and, if it was not started
// as one, returns.
func Main(helpers map[string]Helper) {
	name := os.Getenv(helperEnv)
	if name == "" {
		return
	}
	h := helpers[name]
	if h == nil {
		fmt.Fprintf(os.Stderr, "no helper %q\n", name)
		os.Exit(2)
	}
	p := &Self{Args: os.Args[1:], in: json.NewDecoder(os.Stdin), out: json.NewEncoder(os.Stdout)}
	if err := h(p); err != nil && err != io.EOF {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Process is a process that a test started. It is killed, if it still runs,
// when the test ends.
type Process struct {
	*exec.Cmd
	t       testing.TB
	stdin   io.WriteCloser
	lines   chan string
	exited  chan struct{}
	waitErr error
}

// Start starts a helper in a process of its own.
func Start(t testing.TB, helper string, args ...string) *Process {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), helperEnv+"="+helper)
	return Run(t, cmd)
}

// StartProgram starts a helper of another test binary, with more environment.
func StartProgram(t testing.TB, program string, env []string, helper string, args ...string) *Process {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(append(os.Environ(), helperEnv+"="+helper), env...)
	return Run(t, cmd)
}

// Run starts cmd, whose reports are the lines of its standard output.
func Run(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{Cmd: cmd, t: t, lines: make(chan string, 1<<16), exited: make(chan struct{})}
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = &logWriter{t: t}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(stdout)
		lines.Buffer(nil, 64<<20)
		for lines.Scan() {
			p.lines <- lines.Text()
		}
		close(p.lines)
		p.waitErr = cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(p.Kill)
	return p
}

// PID returns the process's id.
func (p *Process) PID() int { return p.Cmd.Process.Pid }

// Order sends v to the helper.
func (p *Process) Order(v any) {
	p.t.Helper()
	if err := p.TryOrder(v); err != nil {
		p.t.Fatalf("order to pid %d: %v", p.PID(), err)
	}
}

// TryOrder sends v to a helper that may be dead.
func (p *Process) TryOrder(v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = p.stdin.Write(append(b, '\n'))
	}
	return err
}

// reportTime is how long a report may take before the test is taken to hang.
const reportTime = 60 * time.Second

// Report reads the helper's next report into v. It reports false when the
// process has ended.
func (p *Process) Report(v any) bool {
	p.t.Helper()
	select {
	case line, ok := <-p.lines:
		if !ok {
			return false
		}
		if err := json.Unmarshal([]byte(line), v); err != nil {
			p.t.Fatalf("report of pid %d: %v in %q", p.PID(), err, line)
		}
		return true
	case <-time.After(reportTime):
		p.t.Fatalf("pid %d: no report within %v", p.PID(), reportTime)
	}
	return false
}

// Expect reads the next report, which must come.
func (p *Process) Expect(v any) {
	p.t.Helper()
	if !p.Report(v) {
		<-p.exited
		p.t.Fatalf("pid %d ended: %v", p.PID(), p.waitErr)
	}
}

// Kill kills the process as kill -9 does and waits until it is gone.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill() // it may have ended
	go func() {
		for range p.lines { // so that the reader can see the end
		}
	}()
	<-p.exited
}

// Wait waits until the process has ended by itself, and returns how. REQUIRES:
// its reports have been read to their end.
func (p *Process) Wait() error {
	<-p.exited
	return p.waitErr
}

// Signal sends the process a signal.
func (p *Process) Signal(sig os.Signal) error { return p.Cmd.Process.Signal(sig) }

// KillKeep kills the process and leaves its reports to be read.
func (p *Process) KillKeep() { _ = p.Cmd.Process.Kill() }

// End closes the helper's orders and waits until it has ended well.
func (p *Process) End() {
	p.t.Helper()
	p.stdin.Close()
	go func() {
		for range p.lines {
		}
	}()
	select {
	case <-p.exited:
	case <-time.After(reportTime):
		p.t.Fatalf("pid %d does not end", p.PID())
	}
	if p.waitErr != nil {
		p.t.Errorf("pid %d: %v", p.PID(), p.waitErr)
	}
}

type logWriter struct {
	t  testing.TB
	mu sync.Mutex
}

func (w *logWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	os.Stderr.Write(b) // t.Log panics after the end of the test
	return len(b), nil
}
