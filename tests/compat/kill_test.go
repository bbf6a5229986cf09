package compat

import (
	"slices"
	"testing"

	"github.com/levelparty/party/internal/dbtest"
	"github.com/levelparty/party/internal/partytest"
)

// Property: what an engine leaves that was killed, or has ended, all engines
// open with everything in it that was acknowledged: one directory goes from
// hand to hand.
func TestRelay(t *testing.T) {
	rnd := partytest.Random(t)
	dump := startDump(t)
	dir, n, before := dbtest.Dir(t), 0, ""
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	for round := range rounds {
		engine := []string{our, cpp, our, gdb}[rnd.IntN(4)]
		if engine == gdb && before == cpp {
			engine = our // see below
		}
		switch round {
		case 0, 2:
			engine = our
		case 1:
			engine = cpp
		}
		kill := round < 3 || rnd.IntN(3) > 0
		compression := []string{"snappy", noSnappy}[rnd.IntN(2)]
		done := run(t, engine, dir, n, 20+rnd.IntN(1500), compression, kill)
		t.Logf("%s: operations %d to %d, killed %v, %s, logs %d", engine, n, done, kill, compression, len(logs(t, dir)))

		// The one that was under way may be there.
		want, under := after(done), after(done+1)
		check := func(who string, got []string) {
			t.Helper()
			if kill && slices.Equal(got, under) {
				n = done + 1
				want = under
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s, which %s left after %s, read by %s: %d entries, want %d; the first difference at %d",
					dir, engine, before, who, len(got), len(want), difference(got, want))
			}
		}
		n = done
		reader := copyOf(t, dir)
		check("party, read-only", readParty(t, reader, true))
		check("party, read-only again", readParty(t, reader, true))
		check("party", readParty(t, reader, false))
		check("party again", readParty(t, reader, false))
		entries, failed := dump(reader)
		if failed != "" {
			t.Fatal(failed)
		}
		check("LevelDB after party", entries)
		if entries, failed = dump(copyOf(t, dir)); failed != "" {
			t.Fatal(failed)
		}
		check("LevelDB", entries)
		// goleveldb drops writes of logs that C++ LevelDB has left, unless party
		// has opened the directory in between.
		if engine != cpp {
			check("goleveldb", readGoleveldb(t, copyOf(t, dir), false))
		}
		reader = copyOf(t, dir)
		check("party", readParty(t, reader, false))
		check("goleveldb after party", readGoleveldb(t, reader, false))
		before = engine
	}
}

func difference(a, b []string) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return i
}
