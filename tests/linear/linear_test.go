//go:build unix

package linear_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/partytest"
	"github.com/levelparty/party/tests/linear"
)

var (
	forFlag   = flag.Duration("for", 0, "how long TestLinear runs; 0: 20 seconds, 6 with -short")
	timesFlag = flag.Int("times", 0, "how many campaigns TestLinear runs at most in each way; 0: as many as there is time for")
	waysFlag  = flag.String("ways", "", "the ways to hold the database, with commas between; empty: all")
	outFlag   = flag.String("out", filepath.Join(os.TempDir(), "party-linear"), "directory for histories that fail")
	limitFlag = flag.Duration("limit", 10*time.Second, "how long one check may take")
	checkFlag = flag.String("history", "", "a history.json that TestHistory checks again")
)

func TestMain(m *testing.M) {
	partytest.Main(map[string]partytest.Helper{linear.Helper: linear.Worker})
	flag.Parse()
	os.Exit(m.Run())
}

func ways(t *testing.T) []linear.Way {
	if *waysFlag == "" {
		return linear.Ways
	}
	var ways []linear.Way
	for name := range strings.SplitSeq(*waysFlag, ",") {
		w, ok := linear.FindWay(name)
		if !ok {
			t.Fatalf("no way %q", name)
		}
		ways = append(ways, w)
	}
	return ways
}

// Property: the operations of all processes are linearizable in every way to hold
// the database, whoever is killed, stopped, ended or joins; in the end every
// acknowledged write is there; and no operation fails that need not.
func TestLinear(t *testing.T) {
	length := *forFlag
	if length == 0 {
		if length = 20 * time.Second; testing.Short() {
			length = 6 * time.Second
		}
		if *timesFlag > 0 {
			length = time.Hour
		}
	}
	first, ways := partytest.Seed(t), ways(t)
	tallies := make([]linear.Tally, len(ways))
	deadline := time.Now().Add(length)
	minute := time.Now().Add(time.Minute)
	for n := 0; n == 0 || time.Now().Before(deadline); n++ {
		seed, i := first+uint64(n/len(ways)), (int(first%1000)+n)%len(ways)
		if *timesFlag > 0 && n/len(ways) == *timesFlag {
			break
		}
		campaign(t, ways[i], seed, &tallies[i])
		if t.Failed() {
			return
		}
		if time.Now().After(minute) {
			minute = minute.Add(time.Minute)
			fmt.Printf("%v  %v\n", time.Now().Format(time.TimeOnly), total(tallies))
		}
	}
	for i, way := range ways {
		if tallies[i].Histories > 0 {
			show(t, fmt.Sprintf("%s: %v", way.Name, tallies[i]))
		}
	}
	if all := total(tallies); all.Undecided > all.Histories/10 {
		t.Errorf("%d of %d histories were not decided in time", all.Undecided, all.Histories)
	}
}

// show prints a line at the end of a run that was given its time, and else logs
// it.
func show(t *testing.T, line string) {
	if *forFlag > 0 {
		fmt.Println(line)
	} else {
		t.Log(line)
	}
}

func total(tallies []linear.Tally) (all linear.Tally) {
	for _, tally := range tallies {
		all.Add(tally)
	}
	return all
}

// campaign runs one campaign as a test of its own, so that its processes and
// directories are gone when it is over.
func campaign(t *testing.T, way linear.Way, seed uint64, tally *linear.Tally) {
	t.Run(fmt.Sprintf("%s/seed=%d", way.Name, seed), func(t *testing.T) {
		did, failure := linear.Run(t, linear.Config{Way: way, Out: *outFlag, CheckTime: *limitFlag}, seed)
		tally.Add(did)
		if failure != nil {
			t.Errorf("NOT LINEARIZABLE: %s\nwritten to %s", failure.Text, failure.Dir)
		}
		if t.Failed() {
			t.Logf("the same plan again: PARTY_SEED=%d go test -count=1 -run TestLinear ./tests/linear -ways %q -times 20", seed, way.Name)
		}
	})
}

// Property: a process that lies is found out.
func TestLies(t *testing.T) {
	for _, lie := range linear.Lies {
		t.Run(lie, func(t *testing.T) {
			first := partytest.Seed(t)
			for n := range uint64(5) {
				caught := false
				t.Run(fmt.Sprintf("seed=%d", first+n), func(t *testing.T) {
					_, failure := linear.Run(t, linear.Config{Way: linear.Ways[0], Lie: lie, Out: t.TempDir()}, first+n)
					if caught = failure != nil; caught {
						t.Logf("round %d: %d operations, key %d", failure.Round, len(failure.Ops), failure.Key)
					}
				})
				if caught || t.Failed() {
					return
				}
			}
			t.Errorf("five campaigns did not show the lie")
		})
	}
}

// breakages are what the environment variable PARTY_BREAK makes a build do wrong
// that has failpoints, and the way to hold the database in which it shows. That
// of failpoint.SkipRollForward seldom does: hot keys are overwritten before anybody
// misses what was lost. tests/crash finds it out.
var breakages = []struct{ name, way string }{
	{failpoint.PublishFirst, "members"},
	{failpoint.RetryTwice, "guests"},
}

// Property: a build that breaks its promises is found out. tests/crash runs this
// with failpoints.
func TestBreakages(t *testing.T) {
	if !failpoint.Enabled {
		t.Skip("built without failpoints")
	}
	for _, b := range breakages {
		t.Run(b.name, func(t *testing.T) {
			t.Setenv("PARTY_BREAK", b.name)
			way, _ := linear.FindWay(b.way)
			first, deadline := partytest.Seed(t), time.Now().Add(2*time.Minute)
			for n := uint64(0); time.Now().Before(deadline); n++ {
				caught := false
				t.Run(fmt.Sprintf("seed=%d", first+n), func(t *testing.T) {
					_, failure := linear.Run(t, linear.Config{Way: way, Out: t.TempDir()}, first+n)
					if caught = failure != nil; caught {
						t.Logf("round %d: %d operations, key %d", failure.Round, len(failure.Ops), failure.Key)
					}
				})
				if caught || t.Failed() {
					return
				}
			}
			t.Error("nothing was found in two minutes")
		})
	}
}

// TestHistory checks a history again that failed: -history FILE.
func TestHistory(t *testing.T) {
	if *checkFlag == "" {
		t.Skip("no -history")
	}
	init, history, err := linear.ReadFailure(*checkFlag)
	if err != nil {
		t.Fatal(err)
	}
	v := linear.Check(init, history, *limitFlag)
	t.Logf("%s: key %d, %d operations", v.Result, v.Key, len(v.Ops))
	if o, ok := linear.Culprit(init, history, time.Second); ok && v.Result != porcupine.Ok {
		t.Logf("not explained: client %d: %v", o.Client, o)
	}
}
