//go:build unix

// Package crash has processes die at every step.
//
//   - points_test.go: the steps, read from the source, and what makes a process
//     come to each.
//   - run_test.go: a death at a step, and what must be true behind it.
//   - worker_test.go: the processes, and what they write.
//   - crash_test.go: the tests.
package crash

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/partytest"
	"github.com/levelparty/party/internal/vfs"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "seed of the first round; 0: of the moment")
	forFlag   = flag.Duration("for", 0, "for how long rounds of all failpoints, times and scenarios are run; 0: one round of each failpoint in one scenario")
	pointFlag = flag.String("point", "", "the failpoints, with commas between, each with a number of times or without; empty: all")
	wayFlag   = flag.String("way", "", "the scenario; empty: any")
)

// program is this test built with failpoints.
var program string

func TestMain(m *testing.M) {
	partytest.Main(map[string]partytest.Helper{"work": work})
	flag.Parse()
	dir, err := os.MkdirTemp("", "party-crash")
	if err != nil {
		panic(err)
	}
	if program = os.Args[0]; !failpoint.Enabled {
		program = filepath.Join(dir, "crash.test")
		if err := build(program, "."); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// build builds a package's tests with failpoints.
func build(program, pkg string) error {
	cmd := exec.Command("go", "test", "-c", "-tags", "failpoints", "-o", program, pkg)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s with failpoints: %w\n%s", pkg, err, out)
	}
	return nil
}

func seed(t *testing.T) uint64 {
	s := *seedFlag
	if s == 0 {
		s, _ = strconv.ParseUint(os.Getenv("PARTY_SEED"), 10, 64)
	}
	if s == 0 {
		s = uint64(time.Now().UnixNano()) % 1e12
	}
	t.Logf("seed %d", s)
	return s
}

func needMemory(t *testing.T) {
	t.Helper()
	if ok, why := vfs.SharedMemoryWorks(t.TempDir()); !ok {
		partytest.Need(t, why)
	}
}

// dumper is LevelDB in a Node process.
type dumper struct {
	mu sync.Mutex
	*partytest.Process
}

func startDumper(t *testing.T) *dumper {
	t.Helper()
	_, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(filepath.Join(partytest.InteropDir(), "node_modules"))
	}
	if err != nil && os.Getenv("CI") != "true" {
		t.Logf("without LevelDB, which npm would bring: %v", err)
		return nil
	}
	return &dumper{Process: partytest.Node(t, filepath.Join("..", "tests", "compat", "dump.js"))}
}

// compare looks whether LevelDB finds these entries in dir.
func (d *dumper) compare(dir string, want map[string]string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Order(dir)
	var got struct {
		Entries []string
		Error   string
	}
	d.Expect(&got)
	if got.Error != "" {
		return errors.New(got.Error)
	}
	if len(got.Entries) != len(want) {
		return fmt.Errorf("it reads %d entries, we %d", len(got.Entries), len(want))
	}
	for _, e := range got.Entries {
		k, hash, _ := strings.Cut(e, "=")
		if v, ok := want[k]; !ok || fmt.Sprintf("%x", sha256.Sum256([]byte(v))) != hash {
			return fmt.Errorf("it reads another value of %s", k)
		}
	}
	return nil
}

// Properties, for every step at which a process dies: another one goes on at
// once; what was acknowledged is there, and what was not is there as a whole or
// not at all; nothing that anybody has read is lost; the check finds nothing
// wrong. Then all die, and LevelDB, goleveldb and this package read the same.
func TestEveryStep(t *testing.T) {
	needMemory(t)
	first, cpp := seed(t), startDumper(t)
	names := points(t)
	for name := range ways {
		if !slices.ContainsFunc(names, func(n string) bool { return n == name || strings.HasPrefix(n, name+".") }) {
			t.Errorf("there is a scenario for %s, but no failpoint", name)
		}
	}
	if *pointFlag != "" {
		names = strings.Split(*pointFlag, ",")
	}
	var deaths, longest = 0, time.Duration(0)
	var mu sync.Mutex
	deadline := time.Now().Add(*forFlag)
	for n := first; n == first || time.Now().Before(deadline); n++ {
		t.Run(fmt.Sprintf("seed=%d", n), func(t *testing.T) {
			for _, name := range names {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					r, err := newRun(t, name, n, n > first)
					if err != nil {
						t.Fatal(err)
					}
					r.cpp = cpp
					if err := r.do(); err != nil {
						t.Errorf("%s, scenario %v: %v\nagain: go test -count=1 -run TestEveryStep ./tests/crash -seed %d -point %s -way %q",
							r.point, r.scenario, err, n, r.point, r.name)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					deaths, longest = deaths+1, max(longest, r.gap)
					t.Logf("%s, scenario %v: the next write %v behind", r.point, r.scenario, r.gap.Round(100*time.Microsecond))
				})
			}
		})
		if *forFlag > 0 {
			fmt.Printf("%s  seed %d: %d deaths, each at its step; the others went on within %v\n",
				time.Now().Format(time.TimeOnly), n, deaths, longest.Round(time.Millisecond))
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d failpoints, %d deaths; the others went on within %v", len(names), deaths, longest.Round(time.Millisecond))
}

// newRun returns what happens at a failpoint for a seed: in the scenario that is
// the surest way there, or in any.
func newRun(t *testing.T, point string, seed uint64, any bool) (*run, error) {
	name, times, given := strings.Cut(point, ":")
	h := sha256.Sum256([]byte(name))
	r := &run{t: t, point: name, rnd: rand.New(rand.NewPCG(seed, uint64(h[0])<<8|uint64(h[1]))), dir: filepath.Join(t.TempDir(), "db")}
	can, ok := lookUp(ways, name)
	if !ok {
		return nil, fmt.Errorf("no scenario for the failpoint %s: add one", name)
	}
	r.scenario = can[0]
	if any {
		r.scenario = can[r.rnd.IntN(len(can))]
	}
	if *wayFlag != "" {
		i := slices.IndexFunc(can, func(s scenario) bool { return s.name == *wayFlag })
		if i < 0 {
			return nil, fmt.Errorf("no scenario %q for %s: %v", *wayFlag, name, can)
		}
		r.scenario = can[i]
	}
	n, _ := lookUp(often, name)
	n = 1 + r.rnd.IntN(max(n, 1))
	if given {
		n, _ = strconv.Atoi(times)
	}
	r.point = fmt.Sprintf("%s:%d", name, n)
	return r, nil
}

// Property: these tests notice a build that is broken: one that does not carry
// through what a dead writer left.
func TestBroken(t *testing.T) {
	needMemory(t)
	first := seed(t)
	for n := first; n < first+10; n++ {
		t.Logf("seed %d", n)
		caught := false
		t.Run(fmt.Sprintf("seed=%d", n), func(t *testing.T) {
			r, err := newRun(t, "lsm.write.inserted", n, false)
			if err != nil {
				t.Fatal(err)
			}
			r.env = []string{"PARTY_BREAK=" + failpoint.SkipRollForward}
			err = r.do()
			t.Log(err)
			if caught = errors.Is(err, errWrong); err != nil && !caught {
				t.Error("it failed, but for another reason")
			}
		})
		if caught || t.Failed() {
			return
		}
	}
	t.Error("nothing was noticed")
}

// Property: the check for linearizability notices a build that is broken.
func TestBrokenLinear(t *testing.T) {
	needMemory(t)
	program := filepath.Join(t.TempDir(), "linear.test")
	if err := build(program, "../linear"); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-test.run", "^TestBreakages$", "-test.v", "-test.timeout", "8m")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(strings.TrimSpace(line), "---") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// Property: a step that no process comes to is a failure, and no silence.
func TestNotHit(t *testing.T) {
	needMemory(t)
	r := &run{t: t, point: "lsm.no.such.step", scenario: leave, rnd: rand.New(rand.NewPCG(1, 1)), dir: filepath.Join(t.TempDir(), "db")}
	if err := r.do(); err == nil || errors.Is(err, errWrong) {
		t.Errorf("error %v", err)
	}
}
