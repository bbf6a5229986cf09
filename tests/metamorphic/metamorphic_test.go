// Package metamorphic runs random operations against the public API and against a
// plain map, in many configurations: what is configured, compacted, closed and
// opened again, and by which handle it is asked, must not show in any answer. A
// list that fails is shrunk and printed as Go.
package metamorphic

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/partytest"
)

var (
	forFlag    = flag.Duration("for", 0, "how long TestMetamorphic runs; 0: 10 seconds, 4 with -short")
	timesFlag  = flag.Int("times", 0, "how many lists TestMetamorphic runs at most; 0: as many as there is time for")
	opsFlag    = flag.Int("ops", 300, "operations of a list")
	configFlag = flag.String("configs", "", "configurations, with commas between; empty: all")
	shrinkFlag = flag.Duration("shrink", time.Minute, "how long a list that fails is shrunk")
)

// config is a way to hold the database. Lists are the same for all: compactions
// and reopenings are left out where they are not wanted.
type config struct {
	name    string
	options func() party.Options
	handles int  // opened: the first leads
	rotate  bool // operations go by all handles in turn; else by the last
	reopen  bool
	compact bool
	broken  bool // does something wrong, for the test of the test
}

// configs are all there are. Where Options has Sockets, there are members beside
// guests: add them here.
var configs = []config{
	{name: "plain", handles: 1},
	{name: "upkeep", handles: 1, reopen: true, compact: true},
	{name: "tiny", options: tiny, handles: 1, reopen: true, compact: true},
	{name: "bare", options: bare, handles: 1, reopen: true, compact: true},
	{name: "guest", handles: 2, reopen: true, compact: true},
	{name: "tiny guest", options: tiny, handles: 2, reopen: true, compact: true},
	{name: "all in turn", handles: 3, rotate: true, reopen: true, compact: true},
	{name: "all in turn, tiny", options: tiny, handles: 3, rotate: true, reopen: true, compact: true},
}

// tiny fills a log with a few values.
func tiny() party.Options { return party.Options{WriteBuffer: 4 << 10, MaxOpenFiles: 10} }

// bare does without what is there to be quick.
func bare() party.Options {
	return party.Options{WriteBuffer: 32 << 10, Compression: party.NoCompression, BloomBits: -1, Cache: -1}
}

func listOf(seed uint64) []op {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0x0b5))}
	return g.list(*opsFlag)
}

// Property: every answer is that of a sorted map, in every configuration.
func TestMetamorphic(t *testing.T) {
	length := *forFlag
	if length == 0 {
		if length = 10 * time.Second; testing.Short() {
			length = 4 * time.Second
		}
		if *timesFlag > 0 {
			length = time.Hour
		}
	}
	first, lists, ops := partytest.Seed(t), 0, 0
	deadline, minute := time.Now().Add(length), time.Now().Add(time.Minute)
	for n := 0; n == 0 || time.Now().Before(deadline) && (*timesFlag == 0 || n < *timesFlag); n++ {
		list := listOf(first + uint64(n))
		for _, c := range configs {
			if *configFlag != "" && !strings.Contains(","+*configFlag+",", ","+c.name+",") {
				continue
			}
			t.Run(fmt.Sprintf("%s/seed=%d", c.name, first+uint64(n)), func(t *testing.T) {
				if m := play(t, c, list); m != nil {
					report(t, c, first+uint64(n), list, m)
				}
			})
			if t.Failed() {
				return
			}
			lists, ops = lists+1, ops+len(list)
		}
		if time.Now().After(minute) {
			minute = minute.Add(time.Minute)
			fmt.Printf("%v  %d lists, %d operations\n", time.Now().Format(time.TimeOnly), lists, ops)
		}
	}
	if line := fmt.Sprintf("%d lists, %d operations", lists, ops); *forFlag > 0 {
		fmt.Println(line)
	} else {
		t.Log(line)
	}
}

// report shrinks a list that fails and prints it.
func report(t *testing.T, c config, seed uint64, list []op, m *mismatch) {
	if m.at < len(list) {
		list = list[:m.at+1]
	}
	small, m2 := smallest(t, c, list)
	if m2 == nil {
		m2 = m
		t.Logf("did not fail again")
	}
	t.Errorf("configuration %q, seed %d:\n%s", c.name, seed, program(c, small, m2))
	t.Logf("the same list again: PARTY_SEED=%d go test -count=1 -run TestMetamorphic ./tests/metamorphic -configs %q -times 1 -ops %d", seed, c.name, *opsFlag)
}

// smallest shrinks a list, and returns how it fails.
func smallest(t *testing.T, c config, list []op) (small []op, m *mismatch) {
	n := 0
	small = shrink(list, *shrinkFlag, func(ops []op) (failed bool) {
		n++
		t.Run(fmt.Sprintf("shrink%d", n), func(t *testing.T) { failed = play(t, c, ops) != nil })
		return failed
	})
	return small, play(t, c, small)
}

// program returns the list as Go.
func program(c config, ops []op, m *mismatch) string {
	var b strings.Builder
	options := "nil"
	if c.options != nil {
		options = fmt.Sprintf("&party.Options{%s}", optionsOf(c.options()))
	}
	fmt.Fprintf(&b, "\topen := func() *party.DB { db, _ := party.Open(ctx, dir, %s); return db }\n", options)
	fmt.Fprintf(&b, "\t// %d handles, operations go by", c.handles)
	if c.rotate {
		b.WriteString(" each in turn\n")
	} else {
		b.WriteString(" the one opened last\n")
	}
	answer := fmt.Sprintf("\t// got  %s\n\t// want %s\n", strings.ReplaceAll(m.got, "\n", "\n\t//      "), strings.ReplaceAll(m.want, "\n", "\n\t//      "))
	for i, o := range ops {
		fmt.Fprintf(&b, "\t%v\n", o)
		if i == m.at {
			b.WriteString(answer)
		}
	}
	if m.at >= len(ops) {
		b.WriteString("\t// and at the end, when all is read forward, in reverse, and after opening again:\n" + answer)
	}
	return b.String()
}

func optionsOf(o party.Options) string {
	var parts []string
	for _, f := range []struct {
		name  string
		value int
	}{{"WriteBuffer", o.WriteBuffer}, {"MaxOpenFiles", o.MaxOpenFiles}, {"BloomBits", o.BloomBits}, {"Cache", o.Cache}} {
		if f.value != 0 {
			parts = append(parts, fmt.Sprintf("%s: %d", f.name, f.value))
		}
	}
	if o.Compression == party.NoCompression {
		parts = append(parts, "Compression: party.NoCompression")
	}
	return strings.Join(parts, ", ")
}

// Property: a database that does something wrong is found out, and the list that
// shows it shrinks to what is needed: a value that is there, a batch that deletes
// it and a look.
func TestBrokenIsFound(t *testing.T) {
	c := config{name: "broken", handles: 1, broken: true}
	for s := partytest.Seed(t); ; s++ {
		list := listOf(s)
		if play(t, c, list) == nil {
			continue
		}
		small, m := smallest(t, c, list)
		if m == nil {
			t.Fatal("the shrunk list does not fail")
		}
		t.Logf("%d operations became %d:\n%s", len(list), len(small), program(c, small, m))
		if len(small) > 3 {
			t.Errorf("shrunk to %d operations, want 3 at most", len(small))
		}
		return
	}
}

// Property: the same seed makes the same list.
func TestSeed(t *testing.T) {
	if a, b := fmt.Sprint(listOf(1)), fmt.Sprint(listOf(1)); a != b {
		t.Error("two lists of one seed differ")
	}
	if a, b := fmt.Sprint(listOf(1)), fmt.Sprint(listOf(2)); a == b {
		t.Error("the lists of two seeds are the same")
	}
}
