package metamorphic

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/levelparty/party"
)

// model is the database as a map, and what its documents say of the rest.
type model struct {
	data      map[string]string
	snapshots [slots]map[string]string
	iterators [slots]*modelIterator
}

func newModel() *model { return &model{data: make(map[string]string)} }

func full(place int, key []byte) string { return places[place].prefix + string(key) }

// state returns what o reads from; nil if there is no such snapshot.
func (m *model) state(o op) map[string]string {
	if o.snap < 0 {
		return m.data
	}
	return m.snapshots[o.snap]
}

type entry struct{ key, value string }

// entries returns what a range selects, in order.
func entries(data map[string]string, place int, r party.Range, reverse bool) (all []entry) {
	prefix := places[place].prefix
	for _, k := range slices.Sorted(maps.Keys(data)) {
		key, ok := strings.CutPrefix(k, prefix)
		if ok && within(r, []byte(key)) {
			all = append(all, entry{key, data[k]})
		}
	}
	if reverse {
		slices.Reverse(all)
	}
	return all
}

func within(r party.Range, key []byte) bool {
	return (r.GT == nil || bytes.Compare(key, r.GT) > 0) && (r.GTE == nil || bytes.Compare(key, r.GTE) >= 0) &&
		(r.LT == nil || bytes.Compare(key, r.LT) < 0) && (r.LTE == nil || bytes.Compare(key, r.LTE) <= 0)
}

func (m *model) apply(writes []put1) {
	for _, w := range writes {
		if w.del {
			delete(m.data, full(w.place, w.key))
		} else {
			m.data[full(w.place, w.key)] = string(w.value.bytes())
		}
	}
}

const (
	ok      = "ok"
	missing = "missing"
)

func (m *model) get(data map[string]string, place int, key []byte) string {
	v, there := data[full(place, key)]
	if !there {
		return missing
	}
	return short([]byte(v))
}

// run returns what the database must answer. "" means that the operation is left
// out.
func (m *model) run(o op) string {
	state := m.state(o)
	if state == nil {
		return ""
	}
	switch o.kind {
	case put:
		m.apply([]put1{{place: o.place, key: o.key, value: o.value}})
	case del:
		m.apply([]put1{{del: true, place: o.place, key: o.key}})
	case write:
		m.apply(o.writes)
	case fill:
		m.apply(o.filling())
	case get:
		return m.get(state, o.place, o.key)
	case has:
		_, there := state[full(o.place, o.key)]
		return fmt.Sprint(there)
	case getMany:
		var all []string
		for _, k := range o.keys {
			all = append(all, m.get(state, o.place, k))
		}
		return strings.Join(all, ", ")
	case clearRange:
		for i, e := range entries(m.data, o.place, o.o.Range, o.o.Reverse) {
			if o.o.Limit > 0 && i >= o.o.Limit {
				break
			}
			delete(m.data, full(o.place, []byte(e.key)))
		}
	case scan:
		it := &modelIterator{place: o.place, o: o.o, state: func() map[string]string { return state }, left: leftOf(o.o)}
		var all []string
		for it.move("Next", nil) {
			all = append(all, it.show())
		}
		return strings.Join(all, "\n")
	case exclusive:
		answer := m.get(m.data, 0, o.key)
		if !o.discard {
			m.apply(o.writes)
		}
		return answer
	case newSnapshot:
		m.snapshots[o.slot] = maps.Clone(m.data)
		// The one that was there has been closed, and its iterators with it.
		m.endOf(o.slot)
	case closeSnapshot:
		if m.snapshots[o.slot] == nil {
			return ""
		}
		m.snapshots[o.slot] = nil
		m.endOf(o.slot)
	case newIterator:
		it := &modelIterator{place: o.place, o: o.o, snap: o.snap, left: leftOf(o.o)}
		it.state = func() map[string]string { return maps.Clone(m.data) }
		if o.snap >= 0 {
			it.state = func() map[string]string { return state }
		}
		m.iterators[o.slot] = it
	case move:
		it := m.iterators[o.slot]
		if it == nil {
			return ""
		}
		if it.move(o.step, o.key) {
			return it.show()
		}
		return "false"
	case closeIterator:
		if m.iterators[o.slot] == nil {
			return ""
		}
		m.iterators[o.slot] = nil
	case reopen:
		m.snapshots, m.iterators = [slots]map[string]string{}, [slots]*modelIterator{}
	}
	return ok
}

// endOf drops the iterators of a snapshot that is closed.
func (m *model) endOf(snap int) {
	for i, it := range m.iterators {
		if it != nil && it.snap == snap {
			m.iterators[i] = nil
		}
	}
}

// filling returns the puts of fill.
func (o op) filling() (writes []put1) {
	for i := range o.n {
		writes = append(writes, put1{place: o.place, key: fmt.Appendf(nil, "f%04d", i), value: value{o.value.n + i, o.value.size}})
	}
	return writes
}

// modelIterator walks a list, made when it is first moved.
type modelIterator struct {
	place   int
	o       party.IteratorOptions
	snap    int
	state   func() map[string]string
	list    []entry
	made    bool
	stands  int // -1 before, 0 on, 1 behind
	started bool
	at      int
	left    int // -1: no limit
}

func leftOf(o party.IteratorOptions) int {
	if o.Limit > 0 {
		return o.Limit
	}
	return -1
}

func (it *modelIterator) move(step string, key []byte) bool {
	if !it.started {
		it.started, it.stands = true, -1
	}
	switch {
	case step == "Next" && it.stands < 0:
		step = "First"
	case step == "Next" && it.stands > 0, step == "Prev" && it.stands < 0:
		return false
	case step == "Prev" && it.stands > 0:
		step = "Last"
	}
	off := 1
	if step == "Last" || step == "Prev" {
		off = -1
	}
	if it.left == 0 {
		it.stands = off
		return false
	}
	if !it.made {
		it.made, it.list = true, entries(it.state(), it.place, it.o.Range, it.o.Reverse)
	}
	switch step {
	case "First":
		it.at = 0
	case "Last":
		it.at = len(it.list) - 1
	case "Next":
		it.at++
	case "Prev":
		it.at--
	case "Seek":
		it.at = slices.IndexFunc(it.list, func(e entry) bool {
			c := strings.Compare(e.key, string(key))
			return c == 0 || c > 0 != it.o.Reverse
		})
	}
	if it.at < 0 || it.at >= len(it.list) {
		it.stands = off
		return false
	}
	it.stands = 0
	if it.left > 0 {
		it.left--
	}
	return true
}

func (it *modelIterator) show() string {
	e := it.list[it.at]
	k, v := []byte(e.key), []byte(e.value)
	if it.o.NoKeys {
		k = nil
	}
	if it.o.NoValues {
		v = nil
	}
	return short(k) + " = " + short(v)
}
