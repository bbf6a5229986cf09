package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/pprof"
	"strings"
	"time"
)

// Children, in Go or JavaScript, speak lines: each first prints "ready", then
// answers each line it reads with one line. The end of its input ends a child,
// so that none outlives this process, however that ends.

// childRoles are what this program does as a child: the first argument.
var childRoles map[string]func(args []string) error

func init() {
	childRoles = map[string]func([]string) error{
		"serve":  serveChild,
		"fill":   fillChild,
		"work":   workChild,
		"take":   takeChild,
		"guests": guestsChild,
		"member": memberChild,
		"load":   loadChild,
	}
}

// child is a process that this one started.
type child struct {
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  chan string // closed at the end of its output
	stderr bytes.Buffer
	ended  chan struct{} // closed when it has been waited for
	err    error         // of the wait, once ended
}

// answerTime is how long a child may take for an answer beyond what it was
// asked to take.
const answerTime = 30 * time.Second

// start starts a child, and waits until it is ready.
func start(name string, cmd *exec.Cmd) (*child, error) {
	c, err := launch(name, cmd)
	if err != nil {
		return nil, err
	}
	if line, err := c.line(answerTime); err != nil || line != "ready" {
		c.kill()
		return nil, fmt.Errorf("%s: not ready but %q: %w%s", name, line, errors.Join(err, c.err), c.complaint())
	}
	return c, nil
}

func launch(name string, cmd *exec.Cmd) (*child, error) {
	c := &child{name: name, cmd: cmd, lines: make(chan string, 1), ended: make(chan struct{})}
	cmd.Stderr = &c.stderr
	var err error
	if c.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go func() {
		scanner := bufio.NewScanner(stdout)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			c.lines <- scanner.Text()
		}
		close(c.lines)
		c.err = cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

// line returns the next line the child prints.
func (c *child) line(limit time.Duration) (string, error) {
	select {
	case line, ok := <-c.lines:
		if !ok {
			<-c.ended
			return "", fmt.Errorf("%s ended: %v%s", c.name, c.err, c.complaint())
		}
		return line, nil
	case <-time.After(limit):
		return "", fmt.Errorf("%s (pid %d) has not answered for %v", c.name, c.cmd.Process.Pid, limit)
	}
}

func (c *child) complaint() string {
	select {
	case <-c.ended:
		if s := strings.TrimSpace(c.stderr.String()); s != "" {
			return "\n" + s
		}
	default:
	}
	return ""
}

// ask sends a line and decodes the answer into v, unless v is nil. takes is how
// long the answer is expected to take.
func (c *child) ask(line string, takes time.Duration, v any) error {
	if err := c.tell(line); err != nil {
		return err
	}
	return c.answer(takes, v)
}

func (c *child) tell(line string) error {
	_, err := fmt.Fprintln(c.stdin, line)
	return err
}

func (c *child) answer(takes time.Duration, v any) error {
	line, err := c.line(takes + answerTime)
	if err != nil || v == nil {
		return err
	}
	if err := json.Unmarshal([]byte(line), v); err != nil {
		return fmt.Errorf("%s: %q: %w", c.name, line, err)
	}
	return nil
}

// stop lets the child end by itself, and kills it if it does not.
func (c *child) stop() error {
	c.stdin.Close()
	go func() {
		for range c.lines {
		}
	}()
	select {
	case <-c.ended:
		if c.err != nil {
			return fmt.Errorf("%s: %w%s", c.name, c.err, c.complaint())
		}
		return nil
	case <-time.After(10 * time.Second):
		c.kill()
		return fmt.Errorf("%s did not end", c.name)
	}
}

// kill ends the child as kill -9 does.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	c.stdin.Close()
	go func() {
		for range c.lines {
		}
	}()
	<-c.ended
}

// stopAll stops the children that were started.
func stopAll(children ...*child) error {
	var errs []error
	for _, c := range children {
		if c != nil {
			errs = append(errs, c.stop())
		}
	}
	return errors.Join(errs...)
}

// serveLines is the child's side: it says that it is ready, and answers each
// line with what answer returns, as JSON.
func serveLines(answer func(line string) (any, error)) error {
	fmt.Println("ready")
	scanner := bufio.NewScanner(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for scanner.Scan() {
		v, err := answer(scanner.Text())
		if err != nil {
			return err
		}
		if err := out.Encode(v); err != nil {
			return err
		}
	}
	return scanner.Err()
}

// profileVariable names the file for a child's CPU profile.
const profileVariable = "PARTY_BENCH_CPUPROFILE"

// profile writes a CPU profile until its result is called, if this child was
// told to.
func profile() (stop func(), err error) {
	path := os.Getenv(profileVariable)
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}
