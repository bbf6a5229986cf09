//go:build unix

package linear

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Plan is what a seed stands for. What it does not say is up to the machine: a
// seed makes a failure likely again, not certain.
type Plan struct {
	Seed    uint64
	Keys    int
	Ballast int // keys beside each hot key
	Rounds  []Round
}

// Round is a time of operations and events, after which the history is checked.
type Round struct {
	Length    time.Duration
	Processes int // at its beginning
	Clients   int // of each process
	Handles   int // of each process
	Pause     time.Duration
	Events    []Event
}

// EventKind is what happens to a process.
type EventKind string

const (
	Kill     EventKind = "kill"      // with -9
	Stop     EventKind = "stop"      // for a time
	StopKill EventKind = "stop+kill" // stopped for a time, then killed
	KillAll  EventKind = "kill all"  // with -9, and as many anew
	End      EventKind = "end"       // in order
	Close    EventKind = "close"     // in order, with calls under way
	Join     EventKind = "join"      // a new process
)

// Event is something that happens to a process.
type Event struct {
	At     time.Duration
	Kind   EventKind
	Leader bool // to the leader, if there is one
	Which  int  // else to one of the living
	For    time.Duration
}

// NewPlan returns the plan of a seed.
func NewPlan(seed uint64) Plan {
	rnd := rand.New(rand.NewPCG(seed, 0x11ea7))
	p := Plan{Seed: seed, Keys: 2 + rnd.IntN(4)}
	if rnd.IntN(3) == 0 {
		p.Ballast = 1 + rnd.IntN(60)
	}
	for range 2 + rnd.IntN(3) {
		p.Rounds = append(p.Rounds, newRound(rnd))
	}
	return p
}

// opsPerSecond is what all processes of a round do together, about: as many as
// can be checked quickly.
const opsPerSecond = 6000

// maxClients bounds how many operations are under way together: the more, the
// more orders there are to try.
const maxClients = 14

func newRound(rnd *rand.Rand) Round {
	ms := func(least, most int) time.Duration {
		return time.Duration(least*1000+rnd.IntN((most-least)*1000)) * time.Microsecond
	}
	r := Round{
		Length:    ms(300, 1200),
		Processes: 3 + rnd.IntN(4),
		Clients:   1 + rnd.IntN(4),
		Handles:   1,
	}
	if rnd.IntN(4) == 0 {
		r.Clients, r.Handles = 2+rnd.IntN(3), 2
	}
	for r.Processes*r.Clients > maxClients {
		r.Clients--
	}
	r.Handles = min(r.Handles, r.Clients)
	// A quarter of the operations come without a pause.
	r.Pause = time.Second * time.Duration(r.Processes*r.Clients) * 4 / 3 / opsPerSecond
	kinds := []EventKind{Kill, Kill, Kill, Kill, Kill, Stop, Stop, StopKill, End, Close, Join, Join, KillAll}
	for range 2 + rnd.IntN(5) {
		e := Event{
			At: ms(0, int(r.Length.Milliseconds())), Kind: kinds[rnd.IntN(len(kinds))],
			Leader: rnd.IntN(2) == 0, Which: rnd.IntN(8), For: ms(1, 200),
		}
		r.Events = append(r.Events, e)
		switch e.Kind {
		case Kill, StopKill, End, Close:
			if rnd.IntN(4) > 0 {
				r.Events = append(r.Events, Event{At: e.At + ms(0, 200), Kind: Join})
			}
		}
	}
	slices.SortStableFunc(r.Events, func(a, b Event) int { return int(a.At - b.At) })
	return r
}
