//go:build unix

// Package crash has processes die at every step.
//
//   - points_test.go: the steps, read from the source, and what makes a process
//     come to each.
//   - run_test.go: a death at a step, and what must be true behind it.
//   - dry_test.go: what a scenario comes to when nobody dies at a step: the long
//     form chooses from it.
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
	forFlag   = flag.Duration("for", 0, "for how long rounds of all failpoints are run, in any scenario and at any time; 0: one round, of each in the scenario that is the surest way there")
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
	first, cpp := partytest.Seed(t), startDumper(t)
	names := points(t)
	for name := range ways {
		if !slices.ContainsFunc(names, func(n string) bool { return n == name || strings.HasPrefix(n, name+".") }) {
			t.Errorf("there is a scenario for %s, but no failpoint", name)
		}
	}
	if *pointFlag != "" {
		names = strings.Split(*pointFlag, ",")
	}
	var seen reach
	if *forFlag > 0 {
		if seen = watch(t); t.Failed() {
			return
		}
	}
	var deaths, missed, longest = 0, 0, time.Duration(0)
	var mu sync.Mutex
	deadline := time.Now().Add(*forFlag)
	for n := first; n == first || time.Now().Before(deadline); n++ {
		t.Run(fmt.Sprintf("seed=%d", n), func(t *testing.T) {
			for _, name := range names {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					r, err := die(t, name, n, seen, cpp)
					for try := 1; try < tries && notHit(err) && !r.watched; try++ {
						// On a busy machine another may have been there before.
						r, err = die(t, name, n, seen, cpp)
					}
					mu.Lock()
					defer mu.Unlock()
					if r.watched && notHit(err) {
						// That it came there when it was watched was luck.
						missed++
						t.Logf("%s, scenario %v: %v", r.point, r.scenario, err)
						return
					}
					if err != nil {
						t.Errorf("%s, scenario %v: %v\nagain: PARTY_SEED=%d go test -count=1 -run TestEveryStep ./tests/crash -point %s -way %q",
							r.point, r.scenario, err, n, r.point, r.name)
						return
					}
					deaths, longest = deaths+1, max(longest, r.gap)
					t.Logf("%s, scenario %v: the next write %v behind", r.point, r.scenario, r.gap.Round(100*time.Microsecond))
				})
			}
		})
		if *forFlag > 0 {
			fmt.Printf("%s  seed %d: %d deaths, each at its step, and %d that did not come to theirs; the others went on within %v\n",
				time.Now().Format(time.TimeOnly), n, deaths, missed, longest.Round(time.Millisecond))
		}
		if t.Failed() {
			break
		}
	}
	if missed > deaths/10 {
		t.Errorf("%d processes did not come to their step, %d did", missed, deaths)
	}
	t.Logf("%d failpoints, %d deaths; the others went on within %v", len(names), deaths, longest.Round(time.Millisecond))
}

// tries is how often a process is sent to a step by what should be a sure way.
const tries = 3

// die has a process die at a step.
func die(t *testing.T, point string, seed uint64, seen reach, cpp *dumper) (*run, error) {
	r, err := newRun(t, point, seed, seen)
	if err != nil {
		t.Fatal(err)
	}
	r.cpp = cpp
	return r, r.do()
}

// notHit reports whether all that went wrong is that the process did not come to
// its step.
func notHit(err error) bool { return errors.Is(err, errNotHit) && !errors.Is(err, errWrong) }

// newRun returns what happens at a failpoint for a seed: in the scenario that is
// the surest way there, or in any of those in which it was come to.
func newRun(t *testing.T, point string, seed uint64, seen reach) (*run, error) {
	name, times, given := strings.Cut(point, ":")
	h := sha256.Sum256([]byte(name))
	r := &run{t: t, rnd: rand.New(rand.NewPCG(seed, uint64(h[0])<<8|uint64(h[1]))), dir: filepath.Join(t.TempDir(), "db")}
	var ok bool
	if r.scenario, ok = lookUp(ways, name); !ok {
		return nil, fmt.Errorf("no scenario for the failpoint %s: add one", name)
	}
	n, _ := lookUp(often, name)
	n = 1 + r.rnd.IntN(max(n, 1))
	if *wayFlag == "" {
		if s, at, ok := seen.choose(name, rand.New(rand.NewPCG(seed, uint64(h[2])<<8|uint64(h[3])))); ok {
			r.scenario, n, r.watched = s, at, true
		}
	} else {
		if r.scenario, ok = find(*wayFlag); !ok {
			return nil, fmt.Errorf("no scenario %q: %v", *wayFlag, scenarios)
		}
	}
	if given {
		var err error
		if n, err = strconv.Atoi(times); err != nil {
			return nil, err
		}
	}
	r.point = fmt.Sprintf("%s:%d", name, n)
	return r, nil
}

// Property: these tests notice a build that is broken: one that does not carry
// through what a dead writer left.
func TestBroken(t *testing.T) {
	needMemory(t)
	first := partytest.Seed(t)
	for n := first; n < first+10; n++ {
		t.Logf("seed %d", n)
		caught := false
		t.Run(fmt.Sprintf("seed=%d", n), func(t *testing.T) {
			r, err := newRun(t, "lsm.write.inserted", n, nil)
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
