//go:build linux

package soak

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// sample is what everything takes at a moment. Memory is what is a process's own
// (RssAnon), in bytes; what is shared, and files, are not in it.
type sample struct {
	goSum, goMax     int64 // of Go processes
	oldest           int64 // of the member that nobody kills
	age              time.Duration
	nodeSum, nodeMax int64
	harness          int64 // of the test itself
	descriptors      int64 // of the process that has most
	harnessFiles     int64
	disk             int64 // of the directory
	processes        int64
}

// meter keeps a sample for each minute.
type meter struct {
	minutes []sample
}

// take takes a sample.
func (r *run) take() (s sample) {
	r.mu.Lock()
	var alive []*child
	if r.crowd != nil {
		alive = slices.Clone(r.crowd.alive)
	}
	r.mu.Unlock()
	for _, p := range alive {
		memory, ok := ownMemory(p.PID())
		if !ok {
			continue // it has just died
		}
		s.processes++
		s.descriptors = max(s.descriptors, openFiles(p.PID()))
		if p.way.node {
			s.nodeSum += memory
			s.nodeMax = max(s.nodeMax, memory)
			continue
		}
		s.goSum += memory
		s.goMax = max(s.goMax, memory)
		if p.slot == oldMember {
			s.oldest, s.age = memory, time.Since(p.born)
		}
	}
	s.harness, _ = ownMemory(os.Getpid())
	s.harnessFiles = openFiles(os.Getpid())
	s.disk = onDisk(r.dir)
	return s
}

// ownMemory returns the memory that a process has for itself alone.
func ownMemory(pid int) (int64, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false
	}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		if rest, ok := bytes.CutPrefix(lines.Bytes(), []byte("RssAnon:")); ok {
			n, err := strconv.ParseInt(string(bytes.Fields(rest)[0]), 10, 64)
			return n << 10, err == nil
		}
	}
	return 0, false
}

func openFiles(pid int) int64 {
	d, err := os.Open(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1) // it may die meanwhile
	return int64(len(names))
}

// onDisk returns what the files of a directory take, those of memtables too.
func onDisk(dir string) (n int64) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		var st unix.Stat_t
		if unix.Lstat(filepath.Join(dir, e.Name()), &st) == nil { // it may be removed meanwhile
			n += st.Blocks * 512
		}
	}
	return n
}

// median returns the median of each part of the samples.
func median(samples []sample) (m sample) {
	of := func(part func(s *sample) *int64) {
		var all []int64
		for i := range samples {
			all = append(all, *part(&samples[i]))
		}
		if len(all) > 0 {
			slices.Sort(all)
			*part(&m) = all[len(all)/2]
		}
	}
	for _, part := range []func(s *sample) *int64{
		func(s *sample) *int64 { return &s.goSum }, func(s *sample) *int64 { return &s.goMax },
		func(s *sample) *int64 { return &s.oldest }, func(s *sample) *int64 { return (*int64)(&s.age) },
		func(s *sample) *int64 { return &s.nodeSum }, func(s *sample) *int64 { return &s.nodeMax },
		func(s *sample) *int64 { return &s.harness }, func(s *sample) *int64 { return &s.harnessFiles },
		func(s *sample) *int64 { return &s.descriptors }, func(s *sample) *int64 { return &s.disk },
		func(s *sample) *int64 { return &s.processes },
	} {
		of(part)
	}
	return m
}

func (s sample) String() string {
	mb := func(n int64) string { return fmt.Sprintf("%.1f", float64(n)/(1<<20)) }
	return fmt.Sprintf("%d processes, MB: go %s max %s old %s (%v) node %s max %s harness %s | files max %d harness %d | disk %s MB",
		s.processes, mb(s.goSum), mb(s.goMax), mb(s.oldest), s.age.Round(time.Second), mb(s.nodeSum), mb(s.nodeMax), mb(s.harness),
		s.descriptors, s.harnessFiles, mb(s.disk))
}
