//go:build failpoints && unix

package failpoint

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Enabled says whether the build has failpoints.
const Enabled = true

var (
	point struct {
		name string
		n    int // of the hit
		stop bool
	}
	hits = struct {
		sync.Mutex
		of map[string]int
	}{of: make(map[string]int)}
	broken = os.Getenv("PARTY_BREAK")
)

func init() {
	set := os.Getenv("PARTY_FAILPOINT")
	if set == "" {
		return
	}
	parts := strings.Split(set, ":")
	point.name, point.n = parts[0], 1
	for _, p := range parts[1:] {
		if p == "stop" {
			point.stop = true
			continue
		}
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 {
			fmt.Fprintf(os.Stderr, "PARTY_FAILPOINT=%s: want name[:n][:stop]\n", set)
			os.Exit(2)
		}
		point.n = n
	}
}

// due reports whether this is the hit.
func due(name string) bool {
	hits.Lock()
	defer hits.Unlock()
	hits.of[name]++
	return name == point.name && hits.of[name] == point.n
}

// Hits returns how often the process has come to each step.
func Hits() map[string]int {
	hits.Lock()
	defer hits.Unlock()
	return maps.Clone(hits.of)
}

// Hit marks a step.
func Hit(name string) {
	if due(name) {
		die()
	}
}

// Torn marks the step of writing b to w at off: half of it is written.
func Torn(name string, w io.WriterAt, b []byte, off int64) {
	if due(name) {
		_, _ = w.WriteAt(b[:len(b)/2], off) // who dies looks at no error
		die()
	}
}

func die() {
	sig := syscall.SIGKILL
	if point.stop {
		sig = syscall.SIGSTOP
	}
	err := syscall.Kill(os.Getpid(), sig)
	if point.stop && err == nil {
		return
	}
	select {} // the other threads are being killed
}

// Breaks reports whether the process shall do wrong what has that name.
func Breaks(name string) bool { return name == broken }

// Dawdle pauses now and then if the process does wrong what has that name, so
// that it shows.
func Dawdle(name string) {
	if name == broken && rand.IntN(8) == 0 {
		time.Sleep(4 * time.Millisecond)
	}
}

// Limit returns limit. A build with failpoints is given the lower one, so that
// it is reached.
func Limit(limit, lower int64) int64 { return lower }
