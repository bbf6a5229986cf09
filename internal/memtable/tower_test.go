//go:build unix

package memtable

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/partytest"
)

// towerEntries is how many entries there are before the one whose inserter dies.
const towerEntries = 40

// randomOf returns a state of the source of heights from which this one comes next.
func randomOf(height int) uint64 {
	for source := rand.NewPCG(uint64(height), 0); ; {
		random := source.Uint64() // one of 4 to the power of height is right
		if t := (Table{random: random}); t.randomHeight() == height {
			return random
		}
	}
}

// towerHelper inserts the entry behind the others, of the height it is told, and
// dies at one of its steps. It reports when there was no such step.
func towerHelper(p *partytest.Self) error {
	arena, err := mapArena(p.Args[0])
	if err != nil {
		return err
	}
	table, err := Attach(arena, 7)
	if err != nil {
		return err
	}
	if table.random, err = strconv.ParseUint(p.Args[1], 10, 64); err != nil {
		return err
	}
	step, err := strconv.Atoi(p.Args[2])
	if err != nil {
		return err
	}
	table.step = func() {
		if step--; step == 0 {
			_ = unix.Kill(unix.Getpid(), unix.SIGKILL)
			select {}
		}
	}
	user, trailer, value := processEntry(towerEntries + 1)
	if err := table.Insert(user, trailer, value); err != nil {
		return err
	}
	p.Report("inserted")
	return nil
}

// diesAt has a process insert with a source of heights, and die at a step. It
// reports whether there was such a step.
func diesAt(t *testing.T, path string, random uint64, step int) bool {
	t.Helper()
	p := partytest.Start(t, "tower", path, strconv.FormatUint(random, 10), strconv.Itoa(step))
	var what string
	if p.Report(&what) {
		p.End()
		return false
	}
	_ = p.Wait()
	if status, ok := p.ProcessState.Sys().(interface{ Signal() unix.Signal }); !ok || status.Signal() != unix.SIGKILL {
		t.Fatalf("the inserter ended with %v", p.ProcessState)
	}
	return true
}

// levelsOf returns in how many levels the entry is.
func levelsOf(table *Table, user []byte, trailer uint64) (levels int) {
	for level := range maxHeight {
		for n := load32(table.arena, nextOf(head, level)); n != 0; n = load32(table.arena, nextOf(n, level)) {
			e, _ := table.entry(n)
			if bytes.Equal(table.arena[n+nodeKey:e.val], ikey(user, trailer)) {
				levels++
			}
		}
	}
	return levels
}

// Property: an inserter that dies at any step of any level of a tower of any
// height leaves a whole table, with the entry in the levels from below up to
// there; so does one that inserts it again and dies at some step of that; and the
// next one finishes it. Entries are there from the link in level 0 on, and not before.
func TestTowers(t *testing.T) {
	rng := partytest.Random(t)
	path, base := sharedTable(t, 8<<10)
	base.random = 1 // or heights would be of the moment
	for s := format.SeqNum(1); s <= towerEntries; s++ {
		user, trailer, value := processEntry(s)
		if err := base.Insert(user, trailer, value); err != nil {
			t.Fatal(err)
		}
	}
	before, low := bytes.Clone(base.arena), base.height()
	user, trailer, value := processEntry(towerEntries + 1)
	deaths := 0
	for height := 1; height <= maxHeight; height++ {
		if testing.Short() && height != 2 && height != maxHeight {
			continue
		}
		random := randomOf(height)
		seen := make(map[int]bool) // in so many levels
		step := 1
		for ; ; step++ {
			copy(base.arena, before)
			died := diesAt(t, path, random, step)
			table, err := Attach(base.arena, 7)
			if err != nil {
				t.Fatal(err)
			}
			if !died {
				checkTowers(t, table)
				break
			}
			deaths++
			look := func(when string) int {
				t.Helper()
				if err := table.Check(); err != nil {
					t.Fatalf("height %d, step %d, %s: %v", height, step, when, err)
				}
				return readShared(t, table, towerEntries) - towerEntries
			}
			there, want := look("dead"), 0
			if step >= 3 {
				want = 1
			}
			if there != want {
				t.Fatalf("height %d, step %d: the entry is there %d times, want %d", height, step, there, want)
			}
			levels := levelsOf(table, user, trailer)
			seen[levels] = true
			if rng.IntN(3) == 0 && diesAt(t, path, randomOf(1+rng.IntN(4)), 1+rng.IntN(2*height+3)) {
				deaths++
				if look("dead again") < there || levelsOf(table, user, trailer) < levels {
					t.Fatalf("height %d, step %d: the entry has lost levels", height, step)
				}
			}
			if err := table.Insert(user, trailer, value); err != nil {
				t.Fatal(err)
			}
			if look("finished") != 1 {
				t.Fatalf("height %d, step %d: the entry is not there once", height, step)
			}
			checkTowers(t, table)
			if step >= 3 && levelsOf(table, user, trailer) != height {
				t.Fatalf("height %d, step %d: finished in %d levels", height, step, levelsOf(table, user, trailer))
			}
		}
		// Four steps, one if the table gets higher, two for each level above 0. Who
		// dies before a step was never in the last level, unless that is level 0.
		want := 4 + 2*(height-1)
		if height > low {
			want++
		}
		if step-1 != want || len(seen) != max(height, 2) {
			t.Errorf("height %d: died at %d steps, want %d; in %d numbers of levels, want %d", height, step-1, want, len(seen), max(height, 2))
		}
	}
	t.Logf("%d deaths", deaths)
}
