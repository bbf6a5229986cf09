package metamorphic

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/levelparty/party"
)

type kind int

const (
	put kind = iota
	del
	write
	fill
	get
	has
	getMany
	clearRange
	scan
	exclusive
	newSnapshot
	closeSnapshot
	newIterator
	move
	closeIterator
	compact
	reopen
	kinds
)

// weights says how often each kind is chosen.
var weights = [kinds]int{
	put: 20, del: 8, write: 10, fill: 1, get: 10, has: 3, getMany: 4, clearRange: 2, scan: 8, exclusive: 3,
	newSnapshot: 4, closeSnapshot: 1, newIterator: 6, move: 25, closeIterator: 1, compact: 1, reopen: 1,
}

// slots is how many iterators, and how many snapshots, are held at a time.
const slots = 4

// places are where keys are: in the database itself, or in a sublevel.
var places = []struct{ text, prefix string }{
	{"db", ""},
	{`sub("s")`, "!s!"},
	{`sub("s", "t")`, "!s!!t!"},
	{`hash("s")`, "#s#"},
}

// op is one operation. What is in slots that are empty is left out when the
// operation is carried out, so that every part of a list is a list.
type op struct {
	kind    kind
	place   int
	key     []byte
	value   value
	keys    [][]byte
	writes  []put1
	o       party.IteratorOptions
	slot    int // of an iterator or snapshot
	snap    int // read from this snapshot; -1: from what is now
	step    string
	sync    bool
	discard bool
	n       int
}

// put1 is one operation of a batch.
type put1 struct {
	del   bool
	place int
	key   []byte
	value value
}

// value stands for a value: a number and a length.
type value struct{ n, size int }

func (v value) bytes() []byte {
	b := make([]byte, 0, v.size)
	rnd := rand.New(rand.NewPCG(uint64(v.n), 7))
	for word := fmt.Appendf(nil, "%d,", v.n); len(b) < v.size; word = fmt.Appendf(word[:0], "%x", rnd.Uint64()) {
		b = append(b, word...)
	}
	return b[:v.size]
}

var keyPool = [][]byte{
	{}, {0}, {0, 0}, {0xff}, {0xff, 0xff}, []byte("a"), []byte("a\x00"), []byte("aa"), []byte("ab"), []byte("b"),
	[]byte("!"), []byte("!s!"), []byte("!s!a"), []byte("!s!!t!"), []byte("!s!!t!a"), []byte("!s\""), []byte("#s#b"), []byte("#s$"),
	[]byte("f0000"), []byte("f0033"),
}

// generator makes operations.
type generator struct {
	*rand.Rand
	values int
}

func (g *generator) pickKey() []byte {
	if g.IntN(3) == 0 {
		return keyPool[g.IntN(len(keyPool))]
	}
	return fmt.Appendf(nil, "k%02d", g.IntN(20))
}

func (g *generator) pickPlace() int {
	if g.IntN(2) == 0 {
		return 0
	}
	return g.IntN(len(places))
}

func (g *generator) pickValue() value {
	g.values++
	sizes := []int{0, 1, 10, 10, 100, 100, 1000, 5000}
	if g.IntN(60) == 0 {
		return value{g.values, 100_000}
	}
	return value{g.values, sizes[g.IntN(len(sizes))]}
}

func (g *generator) pickWrites() (writes []put1) {
	for range 1 + g.IntN(6) {
		writes = append(writes, put1{g.IntN(4) == 0, g.pickPlace(), g.pickKey(), g.pickValue()})
	}
	return writes
}

func (g *generator) pickOptions() (o party.IteratorOptions) {
	bounds := []*[]byte{&o.GT, &o.GTE, &o.LT, &o.LTE}
	for range g.IntN(3) {
		*bounds[g.IntN(4)] = g.pickKey()
	}
	o.Reverse = g.IntN(2) == 0
	if g.IntN(3) == 0 {
		o.Limit = 1 + g.IntN(12)
	}
	o.NoKeys, o.NoValues = g.IntN(10) == 0, g.IntN(10) == 0
	o.OneState = g.IntN(4) == 0
	return o
}

var steps = []string{"Next", "Next", "Next", "Prev", "Prev", "First", "Last", "Seek"}

func (g *generator) list(n int) []op {
	total := 0
	for _, w := range weights {
		total += w
	}
	ops := make([]op, n)
	for i := range ops {
		k, at := kind(0), g.IntN(total)
		for at >= weights[k] {
			at -= weights[k]
			k++
		}
		o := op{kind: k, place: g.pickPlace(), key: g.pickKey(), slot: g.IntN(slots), snap: -1, sync: g.IntN(20) == 0}
		switch k {
		case put:
			o.value = g.pickValue()
		case write, exclusive:
			o.writes, o.discard = g.pickWrites(), g.IntN(5) == 0
		case fill:
			o.value, o.n = value{i * 1000, []int{10, 100, 1000}[g.IntN(3)]}, 1+g.IntN(400)
		case getMany:
			for range g.IntN(5) {
				o.keys = append(o.keys, g.pickKey())
			}
		case clearRange, compact:
			o.o = g.pickOptions()
		case scan, newIterator:
			o.o = g.pickOptions()
		case move:
			o.step = steps[g.IntN(len(steps))]
		}
		switch k {
		case get, has, getMany, scan, newIterator:
			if g.IntN(3) == 0 {
				o.snap = g.IntN(slots)
			}
		}
		ops[i] = o
	}
	return ops
}

// String returns the operation as one would write it in Go.
func (o op) String() string {
	at := places[o.place].text
	if o.snap >= 0 {
		if o.place == 0 {
			at = fmt.Sprintf("snap%d", o.snap)
		} else {
			at = fmt.Sprintf("%s.At(snap%d)", at, o.snap)
		}
	}
	sync := ""
	if o.sync {
		sync = ", party.WriteOptions{Sync: true}"
	}
	batch := func() string {
		var b strings.Builder
		b.WriteString("batch(")
		for i, w := range o.writes {
			if i > 0 {
				b.WriteString(", ")
			}
			if w.del {
				fmt.Fprintf(&b, "del(%s)", keyText(w.place, w.key))
			} else {
				fmt.Fprintf(&b, "put(%s, %v)", keyText(w.place, w.key), w.value)
			}
		}
		return b.String() + ")"
	}
	switch o.kind {
	case put:
		return fmt.Sprintf("%s.Put(ctx, %s, %v%s)", at, bytesText(o.key), o.value, sync)
	case del:
		return fmt.Sprintf("%s.Delete(ctx, %s%s)", at, bytesText(o.key), sync)
	case write:
		return fmt.Sprintf("db.Write(ctx, %s%s)", batch(), sync)
	case fill:
		return fmt.Sprintf("db.Write(ctx, fill(%q, %d, %v))", places[o.place].prefix+"f", o.n, o.value)
	case get:
		return fmt.Sprintf("%s.Get(ctx, %s)", at, bytesText(o.key))
	case has:
		return fmt.Sprintf("%s.Has(ctx, %s)", at, bytesText(o.key))
	case getMany:
		var keys []string
		for _, k := range o.keys {
			keys = append(keys, bytesText(k))
		}
		return fmt.Sprintf("%s.GetMany(ctx, [][]byte{%s})", at, strings.Join(keys, ", "))
	case clearRange:
		return fmt.Sprintf("%s.Clear(ctx, party.ClearOptions{%s})", at, optionsText(o.o, true))
	case scan:
		return fmt.Sprintf("party.All(ctx, %s, party.IteratorOptions{%s})", at, optionsText(o.o, false))
	case exclusive:
		end := "x.Commit(ctx, " + batch() + sync + ")"
		if o.discard {
			end = "x.Discard()"
		}
		return fmt.Sprintf("x, _ := db.Begin(ctx); db.Get(ctx, %s); %s", bytesText(o.key), end)
	case newSnapshot:
		return fmt.Sprintf("snap%d, _ := db.Snapshot(ctx)", o.slot)
	case closeSnapshot:
		return fmt.Sprintf("snap%d.Close()", o.slot)
	case newIterator:
		return fmt.Sprintf("it%d := %s.Iterator(ctx, party.IteratorOptions{%s})", o.slot, at, optionsText(o.o, false))
	case move:
		if o.step == "Seek" {
			return fmt.Sprintf("it%d.Seek(%s)", o.slot, bytesText(o.key))
		}
		return fmt.Sprintf("it%d.%s()", o.slot, o.step)
	case closeIterator:
		return fmt.Sprintf("it%d.Close()", o.slot)
	case compact:
		return fmt.Sprintf("db.CompactRange(ctx, party.Range{%s})", rangeText(o.o.Range))
	case reopen:
		return "db.Close(); db = open()"
	}
	return "?"
}

func (v value) String() string { return fmt.Sprintf("value(%d, %d)", v.n, v.size) }

func bytesText(b []byte) string { return fmt.Sprintf("[]byte(%q)", b) }

func keyText(place int, key []byte) string {
	if place == 0 {
		return bytesText(key)
	}
	return fmt.Sprintf("%s.Key(%s)", places[place].text, bytesText(key))
}

func rangeText(r party.Range) string {
	var parts []string
	for _, b := range []struct {
		name string
		key  []byte
	}{{"GT", r.GT}, {"GTE", r.GTE}, {"LT", r.LT}, {"LTE", r.LTE}} {
		if b.key != nil {
			parts = append(parts, b.name+": "+bytesText(b.key))
		}
	}
	return strings.Join(parts, ", ")
}

func optionsText(o party.IteratorOptions, clear bool) string {
	var parts []string
	if r := rangeText(o.Range); r != "" {
		parts = append(parts, "Range: party.Range{"+r+"}")
	}
	if o.Reverse {
		parts = append(parts, "Reverse: true")
	}
	if o.Limit > 0 {
		parts = append(parts, fmt.Sprintf("Limit: %d", o.Limit))
	}
	if !clear {
		for _, f := range []struct {
			name string
			is   bool
		}{{"NoKeys", o.NoKeys}, {"NoValues", o.NoValues}, {"OneState", o.OneState}} {
			if f.is {
				parts = append(parts, f.name+": true")
			}
		}
	}
	return strings.Join(parts, ", ")
}

// simpler returns operations that do less than o, to be tried in its place.
func (o op) simpler() (all []op) {
	try := func(change func(o *op)) {
		p := o
		change(&p)
		if p.String() != o.String() {
			all = append(all, p)
		}
	}
	try(func(p *op) { p.place = 0 })
	try(func(p *op) { p.sync = false })
	try(func(p *op) { p.snap = -1 })
	try(func(p *op) { p.value.size = 0 })
	try(func(p *op) { p.value.size = min(p.value.size, 1) })
	try(func(p *op) { p.n = (p.n + 1) / 2 })
	try(func(p *op) { p.n = max(p.n-1, min(p.n, 1)) })
	try(func(p *op) { p.key = []byte("a") })
	try(func(p *op) { p.o.Range = party.Range{} })
	try(func(p *op) { p.o.GT = nil })
	try(func(p *op) { p.o.GTE = nil })
	try(func(p *op) { p.o.LT = nil })
	try(func(p *op) { p.o.LTE = nil })
	try(func(p *op) { p.o.Reverse = false })
	try(func(p *op) { p.o.Limit = 0 })
	try(func(p *op) { p.o.NoKeys = false })
	try(func(p *op) { p.o.NoValues = false })
	try(func(p *op) { p.o.OneState = false })
	for i := range o.writes {
		try(func(p *op) { p.writes = slices.Delete(slices.Clone(p.writes), i, i+1) })
		try(func(p *op) { p.writes = slices.Clone(p.writes); p.writes[i].place = 0 })
		try(func(p *op) { p.writes = slices.Clone(p.writes); p.writes[i].value.size = 0 })
	}
	for i := range o.keys {
		try(func(p *op) { p.keys = slices.Delete(slices.Clone(p.keys), i, i+1) })
	}
	return all
}

// short is a value, or key, as answers show it.
func short(b []byte) string {
	if b == nil {
		return "nil"
	}
	if len(b) <= 24 {
		return fmt.Sprintf("%q", b)
	}
	sum := uint32(0)
	for _, c := range b {
		sum = sum*31 + uint32(c)
	}
	return fmt.Sprintf("%q...%d bytes, sum %08x", bytes.Clone(b[:8]), len(b), sum)
}
