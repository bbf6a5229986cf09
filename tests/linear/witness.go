//go:build unix

package linear

import (
	"math"
	"slices"
)

// witness looks for an order in which the operations can have taken effect, which
// porcupine then has only to confirm. It knows more than porcupine does of what
// it looks at:
//
//   - what only reads, and can take effect now, does so: waiting helps nobody;
//   - values are unique, so that one must not be overwritten before all who saw it
//     have read it.
//
// ok is false if it did not find one within so many steps: there may be one all
// the same.
func witness(init State, ops []*Op, steps int) (order []*Op, ok bool) {
	// What has long to go until its return mostly has its place late: at first only
	// the most urgent are tried at each step.
	for _, width := range []int{2, 4, 8, len(ops)} {
		if order, ok = tryWidth(init, ops, steps, width); ok {
			break
		}
	}
	return order, ok
}

// tryWidth looks with only so many choices at each step.
func tryWidth(init State, ops []*Op, steps, width int) (order []*Op, ok bool) {
	s := &search{
		ops: slices.Clone(ops), state: init, steps: steps, width: width,
		readers: make(map[Write]int), askers: make(map[Write]int), seen: make(map[[2]uint64]bool),
	}
	slices.SortStableFunc(s.ops, func(a, b *Op) int {
		switch {
		case a.Call < b.Call:
			return -1
		case a.Call > b.Call:
			return 1
		}
		return 0
	})
	n := len(s.ops)
	s.next, s.prev = make([]int, n+1), make([]int, n+1)
	for i := range n + 1 {
		s.next[i], s.prev[i] = (i+1)%(n+1), (i+n)%(n+1)
	}
	for _, o := range s.ops {
		s.count(o, 1)
	}
	if !s.find(math.MinInt64) {
		return nil, false
	}
	// What is spare stands behind the one that is not. What nobody knows the
	// outcome of, and need not have happened, is last.
	taken := make(map[*Op]bool)
	for _, o := range s.order {
		taken[o] = true
	}
	spares := make(map[kin][]*Op)
	var last []*Op
	for _, o := range s.ops {
		switch {
		case taken[o]:
		case o.spare && o.Outcome == Done:
			spares[kinOf(o)] = append(spares[kinOf(o)], o)
		default:
			last = append(last, o)
		}
	}
	for _, o := range s.order {
		if order = append(order, o); o.Again && !o.spare {
			order = append(order, spares[kinOf(o)]...)
		}
	}
	return append(order, last...), true
}

// kin is what an operation for one key has in common with its spares.
type kin struct{ client, n, key int }

func kinOf(o *Op) kin { return kin{o.Client, o.N, o.Writes[0].Key} }

// eachSeen calls fn for each value that the operation names as seen.
func (o *Op) eachSeen(fn func(Write)) {
	for _, r := range o.Reads {
		if !r.Any && r.Value != 0 {
			fn(Write{r.Key, r.Value})
		}
	}
}

// search is a walk through the orders that the times allow.
type search struct {
	ops        []*Op // by call
	next, prev []int // a ring of those not taken; index len(ops) is its head
	left       int   // of them surely happened
	state      State
	order      []*Op
	readers    map[Write]int // who surely saw a value and is not taken
	askers     map[Write]int // who may have seen it, too
	taken      [2]uint64     // a hash of the set of those taken
	seen       map[[2]uint64]bool
	steps      int
	width      int
}

// mix is a hash of a number.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// count adds o, or removes it, where those that are not taken are counted.
func (s *search) count(o *Op, n int) {
	if o.Outcome == Done && !o.spare {
		s.left += n
		if !o.Differs {
			o.eachSeen(func(w Write) { s.readers[w] += n })
		}
	}
	o.eachSeen(func(w Write) { s.askers[w] += n })
}

// unlink takes i from the ring, and notes that it is gone.
func (s *search) unlink(i int) {
	s.next[s.prev[i]], s.prev[s.next[i]] = s.next[i], s.prev[i]
	s.taken[0] ^= mix(uint64(i))
	s.taken[1] ^= mix(uint64(i) + 1<<32)
}

// relink undoes unlink. What was unlinked last is relinked first.
func (s *search) relink(i int) {
	s.next[s.prev[i]], s.prev[s.next[i]] = i, i
	s.taken[0] ^= mix(uint64(i))
	s.taken[1] ^= mix(uint64(i) + 1<<32)
}

func (s *search) take(i int) {
	o := s.ops[i]
	s.unlink(i)
	s.order = append(s.order, o)
	s.state = o.apply(s.state)
	s.count(o, -1)
}

// untake takes the last step back. was is the state before it.
func (s *search) untake(i int, was State) {
	o := s.ops[i]
	s.relink(i)
	s.order = s.order[:len(s.order)-1]
	s.state = was
	s.count(o, 1)
}

// ready returns those that may be next: called before any other returned.
func (s *search) ready() (ready []int) {
	first := int64(math.MaxInt64)
	head := len(s.ops)
	for i := s.next[head]; i != head && s.ops[i].Call <= first; i = s.next[i] {
		if !s.ops[i].spare {
			first = min(first, s.ops[i].Return)
		}
		ready = append(ready, i)
	}
	for len(ready) > 0 && s.ops[ready[len(ready)-1]].Call > first {
		ready = ready[:len(ready)-1]
	}
	return ready
}

// find goes on from what is taken, at the time at.
func (s *search) find(at int64) bool {
	if s.steps--; s.steps < 0 {
		return false
	}
	var reads, late []int
	was := s.state
	back := func() bool {
		for _, i := range slices.Backward(late) {
			s.relink(i)
		}
		for _, i := range slices.Backward(reads) {
			s.untake(i, was)
		}
		return false
	}
	var ready []int
	for again := true; again; {
		again = false
		ready = s.ready()
		for _, i := range ready {
			if o := s.ops[i]; len(o.Writes) == 0 && o.matches(&s.state) {
				s.take(i)
				reads, again, at = append(reads, i), true, max(at, o.Call)
			}
		}
	}
	if s.left == 0 {
		return true
	}
	for _, i := range ready {
		if o := s.ops[i]; o.spare && o.Return < at {
			s.unlink(i) // whether it happened no longer matters
			late = append(late, i)
		}
	}
	name := s.taken
	for key, id := range s.state {
		if id != 0 && s.askers[Write{key, id}] == 0 {
			id = math.MaxInt64 // nobody will tell it from another
		}
		name[0] ^= mix(uint64(id)<<3 + uint64(key) + 2<<60)
		name[1] ^= mix(uint64(id)<<3 + uint64(key) + 3<<60)
	}
	if s.seen[name] {
		return back()
	}
	s.seen[name] = true
	spares := make(map[kin]bool)
	ready = slices.DeleteFunc(ready, func(i int) bool {
		o := s.ops[i]
		if o.Outcome == Unknown && o.apply(s.state) == s.state {
			return true // nothing is lost if it happens later, or not
		}
		if o.spare {
			// It is of use if it does something, and one is like the other.
			if o.Return < at || spares[kinOf(o)] || o.apply(s.state) == s.state {
				return true
			}
			spares[kinOf(o)] = true
		}
		return len(o.Writes) == 0 || !o.matches(&s.state) || s.spoils(o)
	})
	// Who returns first is most likely first.
	slices.SortStableFunc(ready, func(a, b int) int {
		if s.ops[a].spare != s.ops[b].spare {
			if s.ops[a].spare {
				return 1
			}
			return -1
		}
		switch ra, rb := s.ops[a].Return, s.ops[b].Return; {
		case ra < rb:
			return -1
		case ra > rb:
			return 1
		}
		return 0
	})
	for _, i := range ready[:min(s.width, len(ready))] {
		s.take(i)
		if s.find(max(at, s.ops[i].Call)) {
			return true
		}
		s.untake(i, was)
		if s.steps < 0 {
			break
		}
	}
	return back()
}

// spoils reports whether o overwrites what somebody must have seen who has not
// read yet.
func (s *search) spoils(o *Op) bool {
	for _, w := range o.Writes {
		now := Write{w.Key, s.state[w.Key]}
		if now.Value == 0 {
			continue
		}
		waiting := s.readers[now]
		if o.Outcome == Done && !o.Differs {
			o.eachSeen(func(own Write) {
				if own == now {
					waiting--
				}
			})
		}
		if waiting > 0 {
			return true
		}
	}
	return false
}

// inTurn returns the operations as if each had followed the other in that order,
// or false if their times do not allow it.
func inTurn(order []*Op) ([]*Op, bool) {
	at := int64(math.MinInt64)
	all := make([]*Op, len(order))
	for i, o := range order {
		if at = max(at, o.Call); at > o.Return {
			return nil, false
		}
		narrow := *o
		narrow.Call, narrow.Return = int64(2*i), int64(2*i+1)
		all[i] = &narrow
	}
	return all, true
}
