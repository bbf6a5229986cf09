package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// loaded is what it took to put many bytes into an empty database, each key
// once, in no order.
type loaded struct {
	Peer    string
	Bytes   int64         // of keys and values
	Time    time.Duration // until the last put was acknowledged
	Settled time.Duration // until nothing was written any more, from the beginning
	// Slowest is the lowest number of bytes acknowledged in any second.
	Slowest int64
	// Written is what all processes caused to be written to the disk, and what
	// that took back by deleting files that had not been written yet.
	Written, Cancelled int64
	Disk               int64 // at the end
	DiskPeak           int64
	Processes          []usage
	// Missing are keys, of those looked up afterwards, that were not there.
	Missing int
}

// usage is of one process, at its most.
type usage struct {
	Role        string
	Private     int64
	Resident    int64
	Descriptors int
}

// loadJob is what the loading process is told, as JSON.
type loadJob struct {
	Bytes     int64
	ValueSize int
}

// entries returns how many pairs that is.
func (j loadJob) entries() int { return int(j.Bytes / int64(keySize+j.ValueSize)) }

// loadPeers take part in suite load.
var loadPeers = []*goPeer{partyPeer, partyLeaderPeer, goleveldbPeer}

func (b *bench) load(ctx context.Context, peers []peer, r *results) error {
	for _, p := range loadPeers {
		if !slices.Contains(peers, peer(p)) {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l, err := b.loadOf(ctx, p)
		if err != nil {
			r.fault(p.name+", load", err)
			continue
		}
		r.Loads = append(r.Loads, l)
	}
	return nil
}

func (b *bench) loadOf(ctx context.Context, p *goPeer) (l *loaded, err error) {
	if err := roomFor(b.tmp, 2*b.loadBytes); err != nil {
		return nil, err
	}
	dir := filepath.Join(b.tmp, "load")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	text, err := json.Marshal(loadJob{b.loadBytes, b.loadValue})
	if err != nil {
		return nil, err
	}
	s := sampler{dir: dir}
	defer func() {
		var children []*child
		for _, w := range s.watched {
			children = append(children, w.child)
		}
		slices.Reverse(children)
		err = errors.Join(err, stopAll(children...))
	}()
	if cmd := p.server(b, dir, 0); cmd != nil {
		b.profiled(&cmd.Env, p.name, "load", "server")
		server, err := start(p.name+" server", cmd)
		if err != nil {
			return nil, err
		}
		s.watch("leads, makes no calls", server)
	}
	loaderCmd := p.command(b, "load", dir, string(text))
	b.profiled(&loaderCmd.Env, p.name, "load", "loader")
	loader, err := start(p.name+" loader", loaderCmd)
	if err != nil {
		return nil, err
	}
	s.watch("puts", loader)
	defer context.AfterFunc(ctx, loader.kill)()

	begin := time.Now()
	l = &loaded{Peer: p.name, Bytes: b.loadBytes}
	ended := make(chan error, 1)
	if err := loader.tell("go"); err != nil {
		return nil, err
	}
	go func() { ended <- loader.answer(24*time.Hour, &l.Slowest) }()
	told := begin
	for running := true; running; {
		select {
		case err := <-ended:
			if err != nil {
				return nil, errors.Join(err, ctx.Err())
			}
			running = false
		case <-time.After(500 * time.Millisecond):
		}
		if err := s.sample(); err != nil {
			return nil, errors.Join(err, ctx.Err())
		}
		if time.Since(told) > 15*time.Second {
			told = time.Now()
			progress("%s: %v, %s on disk, %s written", p.name, time.Since(begin).Round(time.Second), mib(s.disk), mib(s.written))
		}
	}
	l.Time = time.Since(begin)

	// It has settled when nobody has written for two seconds.
	for still, written := time.Now(), s.written; time.Since(still) < 2*time.Second; {
		time.Sleep(200 * time.Millisecond)
		if err := s.sample(); err != nil {
			return nil, errors.Join(err, ctx.Err())
		}
		if s.written != written {
			still, written = time.Now(), s.written
		}
		l.Settled = still.Sub(begin)
	}
	l.Settled = max(l.Settled, l.Time)
	if err := loader.ask("check", 10*time.Minute, &l.Missing); err != nil {
		return nil, err
	}
	l.Written, l.Cancelled, l.Disk, l.DiskPeak = s.written, s.cancelled, s.disk, s.diskPeak
	for _, w := range s.watched {
		l.Processes = append(l.Processes, w.usage)
	}
	progress("%s: loaded in %v, write amplification %.1f", p.name, l.Time.Round(time.Millisecond), l.amplification())
	return l, nil
}

// amplification is how many bytes were written for each that was put.
func (l *loaded) amplification() float64 { return float64(l.Written) / float64(l.Bytes) }

// roomFor fails if a file system has less room.
func roomFor(dir string, bytes int64) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return err
	}
	if free := int64(s.Bavail) * int64(s.Bsize); free < bytes {
		return fmt.Errorf("%s has room for %s, %s may be needed (TMPDIR chooses another)", dir, mib(free), mib(bytes))
	}
	return nil
}

// sampler watches processes and the directory they share.
type sampler struct {
	dir                string
	watched            []*watched
	written, cancelled int64
	disk, diskPeak     int64
}

type watched struct {
	child *child
	usage usage
}

func (s *sampler) watch(role string, c *child) {
	s.watched = append(s.watched, &watched{c, usage{Role: role}})
}

func (s *sampler) sample() (err error) {
	s.written, s.cancelled = 0, 0
	for _, w := range s.watched {
		pid := w.child.cmd.Process.Pid
		n, err := descriptors(pid)
		if err != nil {
			return err
		}
		w.usage.Descriptors = max(w.usage.Descriptors, n)
		for _, f := range []struct {
			file, field string
			set         func(int64)
		}{
			{"status", private, func(n int64) { w.usage.Private = max(w.usage.Private, n) }},
			{"status", resident, func(n int64) { w.usage.Resident = max(w.usage.Resident, n) }},
			{"io", "write_bytes", func(n int64) { s.written += n }},
			{"io", "cancelled_write_bytes", func(n int64) { s.cancelled += n }},
		} {
			n, err := procField(pid, f.file, f.field)
			if err != nil {
				return err
			}
			f.set(n)
		}
	}
	s.disk, err = diskOf(s.dir)
	s.diskPeak = max(s.diskPeak, s.disk)
	return err
}

// loadChild loads: load PEER DIR JOB. It answers "go" with the fewest bytes put
// in any second, and "check" with how many of a sample of keys are missing.
func loadChild(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: load PEER DIR JOB")
	}
	p, err := findGoPeer(args[0])
	if err != nil {
		return err
	}
	var j loadJob
	if err := json.Unmarshal([]byte(args[2]), &j); err != nil {
		return err
	}
	c, err := p.connect(args[1], job{Op: opBatch, InFlight: 1})
	if err != nil {
		return err
	}
	return errors.Join(serveLines(func(line string) (any, error) {
		if line == "check" {
			return j.missing(c)
		}
		endProfile, err := profile()
		if err != nil {
			return nil, err
		}
		defer endProfile()
		return j.run(c)
	}), c.close())
}

// key returns the i-th key to put: each once, spread over all.
func (j loadJob) key(i int) []byte {
	const prime = 2_654_435_761 // greater than any number of entries, so that it shares no factor
	return appendKey(nil, int(uint64(i)*prime%uint64(j.entries())))
}

func (j loadJob) run(c client) (slowest int64, err error) {
	v := newValues(1)
	slowest = j.Bytes
	second, inSecond := time.Now(), int64(0)
	for i, n := 0, j.entries(); i < n; {
		size := min(batchSize, n-i)
		err := c.batch(size, func(k int) (key, value []byte) {
			at := (i + k) * 127 % (len(v) - j.ValueSize)
			return j.key(i + k), v[at : at+j.ValueSize]
		})
		if err != nil {
			return 0, err
		}
		i += size
		inSecond += int64(size) * int64(keySize+j.ValueSize)
		if now := time.Now(); now.Sub(second) >= time.Second {
			slowest = min(slowest, inSecond*int64(time.Second)/int64(now.Sub(second)))
			second, inSecond = now, 0
		}
	}
	return slowest, nil
}

// missing looks up a sample.
func (j loadJob) missing(c client) (missing int, err error) {
	for range min(10_000, j.entries()) {
		v, err := c.get(j.key(rand.IntN(j.entries())))
		if err != nil || len(v) != j.ValueSize {
			missing++
		}
	}
	return missing, nil
}
