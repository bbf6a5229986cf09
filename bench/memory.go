package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/levelparty/party"
)

// guestMemory is what a leader holds for each idle guest, in bytes.
type guestMemory struct {
	Peer     string
	Guests   int
	Resident float64 // as the system sees it
	// Of a Go leader, after a collection:
	Collected float64 `json:",omitempty"` // resident
	Reachable float64 `json:",omitempty"` // heap and stacks
}

// memory connects many guests to a leader, each of which makes one call and
// then nothing.
func (b *bench) memory(ctx context.Context, peers []peer, r *results) error {
	for _, p := range peers {
		if p.info().guests == nil {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		m, err := b.memoryOf(p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.info().name, err)
		}
		progress("%s: %.1f KiB resident per idle guest, %.1f collected, %.1f reachable", m.Peer, m.Resident/1024, m.Collected/1024, m.Reachable/1024)
		r.Memory = append(r.Memory, m)
	}
	return nil
}

func (b *bench) memoryOf(p peer) (m *guestMemory, err error) {
	dir := filepath.Join(b.tmp, "memory")
	if err := p.prepare(b, dir, b.keys); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server, err := start(p.info().name+" server", p.server(b, dir, b.keys))
	if err != nil {
		return nil, err
	}
	var guests []*child
	defer func() { err = errors.Join(err, stopAll(append(guests, server)...)) }()

	_, isGo := p.(*goPeer)
	// Whatever the first guests cost once is not counted.
	few, err := start("guests", p.info().guests(b, dir, 5))
	if err != nil {
		return nil, err
	}
	guests = append(guests, few)
	var before, after memory
	if isGo {
		if err := server.ask("memory", 0, &before); err != nil {
			return nil, err
		}
	}
	time.Sleep(time.Second)
	pid := server.cmd.Process.Pid
	residentBefore, err := resident(pid)
	if err != nil {
		return nil, err
	}
	many, err := start("guests", p.info().guests(b, dir, b.guests))
	if err != nil {
		return nil, err
	}
	guests = append(guests, many)
	time.Sleep(time.Second)
	residentAfter, err := resident(pid)
	if err != nil {
		return nil, err
	}
	n := float64(b.guests)
	m = &guestMemory{Peer: p.info().name, Guests: b.guests, Resident: float64(residentAfter-residentBefore) / n}
	if isGo {
		if err := server.ask("memory", 0, &after); err != nil {
			return nil, err
		}
		collected, err := resident(pid)
		if err != nil {
			return nil, err
		}
		m.Collected = float64(collected-residentBefore) / n
		m.Reachable = (float64(after.Heap+after.Stack) - float64(before.Heap+before.Stack)) / n
	}
	return m, nil
}

// resident returns the resident memory of a process, in bytes.
func resident(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no VmRSS")
}

// guestsChild holds idle guests: guests DIR NUMBER.
func guestsChild(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: guests DIR NUMBER")
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	ctx := context.Background()
	for range n {
		db, err := party.Open(ctx, args[0], &party.Options{Lead: party.LeadNever})
		if err != nil {
			return err
		}
		defer db.Close()
		if _, err := db.Get(ctx, appendKey(nil, 0)); err != nil {
			return err
		}
	}
	return serveLines(func(line string) (any, error) { return nil, fmt.Errorf("unknown request %q", line) })
}
