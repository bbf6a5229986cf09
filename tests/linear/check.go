//go:build unix

package linear

import (
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// Verdict is what a check found.
type Verdict struct {
	Result porcupine.CheckResult
	// Key is the hot key alone on which the history fails, -1 if it takes several.
	Key int
	// Ops are the operations as checked: those of the key, without what cannot
	// matter.
	Ops  []Op
	Info porcupine.LinearizationInfo
}

// Check tells whether the history is linearizable, beginning with the state
// init. limit bounds each of its steps; a step that takes longer makes the result
// Unknown.
//
// First each key is checked by itself, which is quick and is a necessary
// condition. If no operation joins several keys it is a sufficient one: the
// operations are then linearizable together if those of each key are. If some
// do, all keys are checked as one.
func Check(init State, history []Op, limit time.Duration) Verdict {
	ops := prune(single(history))
	joined := slices.ContainsFunc(ops, func(o Op) bool { return spread(&o) > 1 })
	verdict := Verdict{Result: porcupine.Ok, Key: -1}
	for key := range MaxKeys {
		v := check(init, only(ops, key), limit)
		v.Key = key
		switch v.Result {
		case porcupine.Illegal:
			return v
		case porcupine.Unknown:
			verdict = v
		}
	}
	if joined && verdict.Result == porcupine.Ok {
		verdict = check(init, ops, limit)
		verdict.Key = -1
	}
	return verdict
}

// check has the operations checked by porcupine. What tighten and witness find out
// before saves porcupine time, and decides nothing.
func check(init State, ops []Op, limit time.Duration) Verdict {
	v := Verdict{Ops: ops}
	narrow, ok := tighten(init, ops)
	if ok {
		if order, ok := witness(init, narrow, 200*len(narrow)+1000); ok {
			if turns, ok := inTurn(order); ok {
				v.Result, v.Info = porcupine.CheckOperationsVerbose(model(init), operations(turns), limit)
			}
		}
		if v.Result == porcupine.Ok {
			return v
		}
		v.Result, v.Info = porcupine.CheckOperationsVerbose(model(init), operations(narrow), limit)
		if v.Result == porcupine.Ok {
			return v
		}
	}
	// The history as it was makes the better picture.
	wide := make([]*Op, len(ops))
	for i := range ops {
		wide[i] = &ops[i]
	}
	was := v.Result
	v.Result, v.Info = porcupine.CheckOperationsVerbose(model(init), operations(wide), limit)
	if v.Result == porcupine.Unknown && was == porcupine.Illegal {
		v.Result = was
	}
	return v
}

// spread returns how many keys the operation joins.
func spread(o *Op) int {
	var keys [MaxKeys]bool
	n := 0
	for _, r := range o.Reads {
		if !keys[r.Key] {
			keys[r.Key] = true
			n++
		}
	}
	for _, w := range o.Writes {
		if !keys[w.Key] {
			keys[w.Key] = true
			n++
		}
	}
	return n
}

// single replaces each operation whose keys stand apart by one for each key, or by
// three if it may write again, two if it has not come back: what stands beside
// another of the kind does nothing.
func single(history []Op) []Op {
	var ops []Op
	for _, o := range history {
		if !o.Apart {
			ops = append(ops, o)
			continue
		}
		for key := range MaxKeys {
			if p, ok := project(o, key); ok {
				ops = append(ops, p)
				if p.spare = true; o.Again {
					ops = append(ops, p)
				}
				if o.Again && o.Outcome == Done {
					ops = append(ops, p)
				}
			}
		}
	}
	return ops
}

// project returns what the operation does to the key and saw of it.
func project(o Op, key int) (Op, bool) {
	p := o
	p.Reads, p.Writes = nil, nil
	for _, r := range o.Reads {
		if r.Key == key {
			p.Reads = append(p.Reads, r)
		}
	}
	for _, w := range o.Writes {
		if w.Key == key {
			p.Writes = append(p.Writes, w)
		}
	}
	if o.Differs && len(p.Reads) < len(o.Reads) {
		return p, false // it may be another key that differed
	}
	return p, len(p.Reads)+len(p.Writes) > 0
}

func only(ops []Op, key int) []Op {
	var of []Op
	for _, o := range ops {
		if p, ok := project(o, key); ok {
			of = append(of, p)
		}
	}
	return of
}

// prune leaves out the writes with an unknown outcome that nobody noticed:
// either they did not happen, or what they wrote was overwritten before anybody
// looked, and the rest is explained without them. It spares the check to try
// them everywhere. A delete can be noticed without being told from others, and
// so can a write of a key of which somebody saw only that there is something, or
// something else.
func prune(ops []Op) []Op {
	seen := make(map[ID]bool)
	var loose [MaxKeys]bool
	for _, o := range ops {
		for _, r := range o.Reads {
			seen[r.Value] = true
			if r.Any || o.Differs {
				loose[r.Key] = true
			}
		}
	}
	return slices.DeleteFunc(ops, func(o Op) bool {
		return o.Outcome == Unknown && !slices.ContainsFunc(o.Writes, func(w Write) bool {
			return w.Value == 0 || seen[w.Value] || loose[w.Key]
		})
	})
}

// operations translates to porcupine's form. What may take effect for ever
// returns last of all, where it can no longer be noticed.
func operations(ops []*Op) []porcupine.Operation {
	last := int64(0)
	for _, o := range ops {
		last = max(last, o.Call)
		if o.Return < math.MaxInt64 {
			last = max(last, o.Return)
		}
	}
	// The picture has a line for each client, and begins a new one behind what
	// never returned.
	type line struct{ client, n int }
	lines, broken := make(map[line]int), make(map[int]int)
	all := make([]porcupine.Operation, len(ops))
	for i, o := range ops {
		at := line{o.Client, broken[o.Client]}
		if _, ok := lines[at]; !ok {
			lines[at] = len(lines)
		}
		all[i] = porcupine.Operation{ClientId: lines[at], Input: o, Call: o.Call, Return: o.Return, Metadata: o.Client}
		if o.Return == math.MaxInt64 {
			all[i].Return = last + 1
			broken[o.Client]++
		}
	}
	return all
}

// model is the database as porcupine wants it told: a few keys as one object.
func model(init State) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return init },
		Step: func(state, input, _ any) (bool, any) {
			s, o := state.(State), input.(*Op)
			switch {
			case o.matches(&s):
				return true, o.apply(s)
			case o.Outcome == Unknown:
				// It did not take effect. If it did not although it could have,
				// it stands at the end.
				return true, s
			}
			return false, s
		},
		Equal: func(a, b any) bool { return a.(State) == b.(State) },
		Hash: func(state any) uint64 {
			h := uint64(14695981039346656037)
			for _, id := range state.(State) {
				h = (h ^ uint64(id)) * 1099511628211
			}
			return h
		},
		DescribeOperation: func(input, _ any) string { return input.(*Op).String() },
		DescribeState: func(state any) string {
			text := ""
			for key, id := range state.(State) {
				if id != 0 {
					text += keyName(key) + "=" + valueName(id) + " "
				}
			}
			return text
		},
	}
}

// Culprit returns the earliest operation whose answer cannot be explained by what
// had happened until it returned, or not in time.
func Culprit(init State, history []Op, limit time.Duration) (o Op, ok bool) {
	var ends []int64
	for _, o := range history {
		if o.Outcome == Done {
			ends = append(ends, o.Return)
		}
	}
	slices.Sort(ends)
	// Histories are closed under prefixes: search for the shortest that fails.
	at, _ := slices.BinarySearchFunc(ends, true, func(end int64, _ bool) int {
		if Check(init, until(history, end), limit).Result == porcupine.Ok {
			return -1
		}
		return 0
	})
	for _, o := range history {
		if at < len(ends) && o.Outcome == Done && o.Return == ends[at] {
			return o, true
		}
	}
	return o, false
}

// until returns the history as it stood at the time t.
func until(history []Op, t int64) []Op {
	var ops []Op
	for _, o := range history {
		if o.Call > t {
			continue
		}
		if o.Outcome == Done && o.Return > t {
			if len(o.Writes) == 0 {
				continue
			}
			o.Outcome, o.Return = Unknown, math.MaxInt64
		}
		ops = append(ops, o)
	}
	return ops
}
