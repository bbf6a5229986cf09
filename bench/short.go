package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// wallTime is how long processes of one kind took, from their start until they
// had been waited for.
type wallTime struct {
	Name  string
	About string
	Times []time.Duration // sorted
}

// shortProcess is a process that lives for one call.
type shortProcess struct {
	name  string
	about string
	peer  string // whose server must run; none for what does nothing
	cmd   func(dir string) *exec.Cmd
}

// short starts processes that get one key and end.
func (b *bench) short(ctx context.Context, peers []peer, r *results) (err error) {
	key := string(appendKey(nil, 4711))
	programs := filepath.Join(b.tmp, "programs") + string(filepath.Separator)
	if err := os.MkdirAll(programs, 0o700); err != nil {
		return err
	}
	for _, pkg := range []string{"./cmd/...", "github.com/levelparty/party/cmd/party"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", programs, pkg)
		if lmdbBuilt {
			cmd.Args = slices.Insert(cmd.Args, 2, "-tags", "lmdb")
		}
		if strings.HasPrefix(pkg, "github.com/") {
			cmd.Dir = ".." // its dependencies are not ours
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	}
	static := exec.CommandContext(ctx, "go", "build", "-o", programs+"getone-static", "./cmd/getone")
	static.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := static.CombinedOutput(); err != nil {
		return fmt.Errorf("build getone without cgo: %w\n%s", err, out)
	}
	program := func(name string) func(dir string) *exec.Cmd {
		return func(dir string) *exec.Cmd { return exec.Command(programs+name, dir, key) }
	}
	processes := []shortProcess{
		{"go, nothing", "a Go program that does nothing", "", func(string) *exec.Cmd { return exec.Command(programs + "nothing") }},
		{"party", "a Go program that opens, gets, closes", "party", program("getone")},
		{"party, static", "the same, built with CGO_ENABLED=0", "party", program("getone-static")},
		{"party get", "the command", "party", func(dir string) *exec.Cmd { return exec.Command(programs+"party", "get", dir, key) }},
		{"sqlite", "a Go program that opens, gets, closes", "sqlite", program("getone-sqlite")},
		{"lmdb", "a Go program that opens, gets, closes", "lmdb", program("getone-lmdb")},
		{"redis", "a Go program that opens, gets, closes", "redis", func(dir string) *exec.Cmd { return exec.Command(programs+"getone-redis", redisSocket(dir), key) }},
		{"goleveldb", "a Go program that opens, gets, closes, alone", "goleveldb", program("getone-leveldb")},
		{"node, nothing", "a Node program that does nothing", "rave-level", func(string) *exec.Cmd { return exec.Command("node", "-e", "0") }},
		{"rave-level", "a Node program that opens, gets, closes", "rave-level", func(dir string) *exec.Cmd { return b.node("short.js", "rave-level", dir, key) }},
		{"level-party", "a Node program that opens, gets, closes", "level-party", func(dir string) *exec.Cmd { return b.node("short.js", "level-party", dir, key) }},
		{"redis-cli get", "Redis' command, in C", "redis", func(dir string) *exec.Cmd { return exec.Command("redis-cli", "-s", redisSocket(dir), "get", key) }},
	}
	var servers []*child
	var remove []string
	defer func() {
		err = errors.Join(err, stopAll(servers...))
		for _, dir := range remove {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	dirs := map[string]string{"": ""}
	for _, p := range peers {
		name := p.info().name
		if !slices.ContainsFunc(processes, func(s shortProcess) bool { return s.peer == name }) {
			continue
		}
		dir := filepath.Join(b.tmp, "short-"+name)
		remove = append(remove, dir)
		if err := p.prepare(b, dir, b.keys); err != nil {
			return err
		}
		dirs[name] = dir
		if p.info().alone {
			continue
		}
		holder := p.server(b, dir, b.keys)
		if holder == nil { // any process that has it open
			holder = p.worker(b, dir, `{"Op":"get","InFlight":1}`)
		}
		server, err := start(name+" server", holder)
		if err != nil {
			return err
		}
		servers = append(servers, server)
	}
	times := make([]wallTime, len(processes))
	for i := range b.starts + 1 {
		for j, s := range processes {
			dir, ok := dirs[s.peer]
			if !ok {
				continue
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			cmd := s.cmd(dir)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			begin := time.Now()
			err := cmd.Run()
			took := time.Since(begin)
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", s.name, err, stderr.String())
			}
			times[j].Name, times[j].About = s.name, s.about
			if i > 0 { // the first is to warm up
				times[j].Times = append(times[j].Times, took)
			}
		}
	}
	for _, t := range times {
		if len(t.Times) == 0 {
			continue
		}
		slices.Sort(t.Times)
		progress("%-14s median %v", t.Name, median(t.Times))
		r.Short = append(r.Short, t)
	}
	return nil
}
