//go:build unix

package linear_test

import (
	"cmp"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/levelparty/party/internal/partytest"
	"github.com/levelparty/party/tests/linear"
)

// op returns an operation with one key or several, as "h0=1" for a write and
// "h0:1" for a read, 0 being none.
func op(client int, call, ret int64, what string) linear.Op {
	o := linear.Op{Client: client, Kind: "op", Call: call, Return: ret, Outcome: linear.Done}
	if ret == 0 {
		o.Outcome = linear.Unknown
	}
	for word := range strings.FieldsSeq(what) {
		switch {
		case word == "differs":
			o.Differs = true
		case word == "apart":
			o.Apart = true
		case word[2] == '=':
			o.Writes = append(o.Writes, linear.Write{Key: int(word[1] - '0'), Value: linear.ID(word[3] - '0')})
		case word[3] == '*':
			o.Reads = append(o.Reads, linear.Read{Key: int(word[1] - '0'), Any: true})
		default:
			o.Reads = append(o.Reads, linear.Read{Key: int(word[1] - '0'), Value: linear.ID(word[3] - '0')})
		}
	}
	return o
}

// Property: small histories are judged as they should be.
func TestCheck(t *testing.T) {
	tests := []struct {
		name string
		ops  []linear.Op
		want porcupine.CheckResult
	}{
		{"sequence", []linear.Op{op(1, 1, 2, "h0=1"), op(2, 3, 4, "h0:1"), op(1, 5, 6, "h0=0"), op(2, 7, 8, "h0:0")}, porcupine.Ok},
		{"stale read", []linear.Op{op(1, 1, 2, "h0=1"), op(1, 3, 4, "h0=2"), op(2, 5, 6, "h0:1")}, porcupine.Illegal},
		{"reads that go back", []linear.Op{op(1, 1, 9, "h0=1"), op(2, 2, 3, "h0:1"), op(3, 4, 5, "h0:0")}, porcupine.Illegal},
		{"either, while it is under way", []linear.Op{op(1, 1, 9, "h0=1"), op(2, 2, 3, "h0:0"), op(3, 4, 5, "h0:1")}, porcupine.Ok},
		{"lost write", []linear.Op{op(1, 1, 2, "h0=1"), op(2, 3, 4, "h0:0")}, porcupine.Illegal},
		{"lost write that nobody saw", []linear.Op{op(1, 1, 2, "h0=1"), op(1, 3, 4, "h0=2"), op(1, 5, 6, "h0=3"), op(2, 7, 8, "h0:2")}, porcupine.Illegal},
		{"duplicated write", []linear.Op{op(1, 1, 2, "h0=1"), op(2, 3, 4, "h0=2"), op(2, 5, 6, "h0:2"), op(2, 7, 8, "h0:1")}, porcupine.Illegal},
		{"torn batch", []linear.Op{op(1, 1, 9, "h0=1 h1=2"), op(2, 3, 4, "h0:1 h1:0")}, porcupine.Illegal},
		{"torn batch, seen by two", []linear.Op{op(1, 1, 9, "h0=1 h1=2"), op(2, 3, 4, "h0:1"), op(2, 5, 6, "h1:0")}, porcupine.Illegal},
		{"batch", []linear.Op{op(1, 1, 9, "h0=1 h1=2"), op(2, 3, 4, "h0:0 h1:0"), op(2, 5, 6, "h0:1 h1:2")}, porcupine.Ok},
		{"two orders", []linear.Op{op(1, 1, 9, "h0=1"), op(2, 1, 9, "h1=2"), op(3, 2, 3, "h0:1 h1:0"), op(4, 2, 3, "h0:0 h1:2")}, porcupine.Illegal},
		{"keys apart", []linear.Op{op(1, 1, 2, "h0=1"), op(2, 1, 9, "h0:1 h1:0 apart"), op(3, 3, 4, "h0=3 h1=4")}, porcupine.Ok},
		{"increment", []linear.Op{op(1, 1, 9, "h0:0 h0=1"), op(2, 1, 9, "h0:1 h0=2"), op(3, 10, 11, "h0:2")}, porcupine.Ok},
		{"lost increment", []linear.Op{op(1, 1, 9, "h0:0 h0=1"), op(2, 1, 9, "h0:0 h0=2")}, porcupine.Illegal},
		{"unknown, applied late", []linear.Op{op(1, 1, 0, "h0=1"), op(2, 3, 4, "h0:0"), op(2, 5, 6, "h0:1")}, porcupine.Ok},
		{"unknown, applied once", []linear.Op{op(1, 1, 0, "h0=1"), op(2, 3, 4, "h0:1"), op(2, 5, 6, "h0=2"), op(2, 7, 8, "h0:1")}, porcupine.Illegal},
		{"unknown, never applied", []linear.Op{op(1, 1, 0, "h0=1"), op(2, 3, 4, "h0:0")}, porcupine.Ok},
		{"unknown, not before its call", []linear.Op{op(2, 1, 2, "h0:1"), op(1, 3, 0, "h0=1")}, porcupine.Illegal},
		{"unknown delete", []linear.Op{op(2, 1, 2, "h0=1"), op(1, 3, 0, "h0=0"), op(2, 4, 5, "h0:1"), op(2, 6, 7, "h0:0")}, porcupine.Ok},
		{"unknown batch, torn", []linear.Op{op(1, 1, 0, "h0=1 h1=2"), op(2, 3, 4, "h0:1 h1:0")}, porcupine.Illegal},
		{"unknown increment of what was not there", []linear.Op{op(1, 1, 0, "h0:5 h0=1"), op(2, 3, 4, "h0:1")}, porcupine.Illegal},
		{"swap that failed", []linear.Op{op(1, 1, 2, "h0=1"), op(2, 3, 4, "h0:2 differs"), op(2, 5, 6, "h0:1")}, porcupine.Ok},
		{"swap that failed for nothing", []linear.Op{op(1, 1, 2, "h0=1"), op(2, 3, 4, "h0:1 differs")}, porcupine.Illegal},
		{"something", []linear.Op{op(1, 1, 0, "h0=1"), op(2, 3, 4, "h0:*")}, porcupine.Ok},
		{"something from nothing", []linear.Op{op(2, 3, 4, "h0:*")}, porcupine.Illegal},
		{"a value that nobody wrote", []linear.Op{op(2, 3, 4, "h0:7")}, porcupine.Illegal},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			history := linear.Merge(test.ops)
			v := linear.Check(linear.State{}, history, 10*time.Second)
			if v.Result != test.want {
				t.Errorf("%s, want %s", v.Result, test.want)
			}
			if v.Result == porcupine.Illegal {
				dir := filepath.Join(t.TempDir(), "out")
				if err := linear.WriteFailure(dir, test.name, linear.State{}, history, v); err != nil {
					t.Error(err)
				}
				for _, name := range []string{"history.txt", "checked.txt", "history.json", "history.html"} {
					if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
						t.Errorf("%s: %v, %v", name, info, err)
					}
				}
			}
		})
	}
}

// made returns a history of a database that is right, or has a fault now and
// then.
func made(seed uint64, clients, each, keys int, fault string) []linear.Op {
	rnd := rand.New(rand.NewPCG(seed, 1))
	type event struct {
		at int64
		op int
	}
	var ops []linear.Op
	var events []event
	id := linear.ID(0)
	for c := range clients {
		now := int64(rnd.IntN(100))
		for n := range each {
			o := linear.Op{Client: c, N: n, Outcome: linear.Done, Call: now, Return: now + 2 + int64(rnd.IntN(200))}
			for _, key := range rnd.Perm(keys)[:1+rnd.IntN(min(keys, 3))] {
				if rnd.IntN(2) == 0 {
					o.Reads = append(o.Reads, linear.Read{Key: key})
				}
				if rnd.IntN(3) == 0 {
					w := linear.Write{Key: key}
					if rnd.IntN(6) > 0 {
						id++
						w.Value = id
					}
					o.Writes = append(o.Writes, w)
				}
			}
			if rnd.IntN(60) == 0 {
				o.Outcome = linear.Unknown
			}
			events = append(events, event{o.Call + 1 + rnd.Int64N(o.Return-o.Call-1), len(ops)})
			ops = append(ops, o)
			now = o.Return + 1 + int64(rnd.IntN(50))
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	var state, old linear.State
	for i, e := range events {
		if i%50 == 0 {
			old = state
		}
		o, lies := &ops[e.op], rnd.IntN(4) == 0
		for i := range o.Reads {
			o.Reads[i].Value = state[o.Reads[i].Key]
			if lies && fault == "stale read" {
				o.Reads[i].Value = old[o.Reads[i].Key]
			}
		}
		if o.Outcome == linear.Unknown && rnd.IntN(2) == 0 || lies && fault == "lost write" {
			continue
		}
		for i, w := range o.Writes {
			if i > 0 && lies && fault == "torn batch" {
				break
			}
			state[w.Key] = w.Value
		}
	}
	return linear.Merge(ops)
}

// Property: what a right database answers is accepted, however many ask at once;
// what a wrong one answers is not.
func TestCheckMade(t *testing.T) {
	first := partytest.Seed(t)
	for i := range uint64(40) {
		history := made(first+i, 12, 200, 4, "")
		if v := linear.Check(linear.State{}, history, 20*time.Second); v.Result != porcupine.Ok {
			t.Errorf("seed %d: %s: %d operations, key %d", first+i, v.Result, len(v.Ops), v.Key)
		}
	}
	for _, fault := range []string{"stale read", "lost write", "torn batch"} {
		for i := range uint64(10) {
			history := made(first+i, 6, 100, 3, fault)
			if v := linear.Check(linear.State{}, history, 20*time.Second); v.Result != porcupine.Illegal {
				t.Errorf("%s, seed %d: %s", fault, first+i, v.Result)
			}
		}
	}
}
