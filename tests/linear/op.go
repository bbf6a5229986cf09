//go:build unix

package linear

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// MaxKeys is how many hot keys there can be.
const MaxKeys = 8

// ID is the number of a put, unique in a campaign. 0 stands for no value: a key
// that is missing, or a delete.
type ID uint64

// State is what the hot keys hold.
type State [MaxKeys]ID

// Outcome is what a process knows about its operation.
type Outcome string

const (
	// Unknown: it may take effect at any time after the call, or never.
	Unknown Outcome = "unknown"
	// Done: it took effect between call and return.
	Done Outcome = "done"
	// Nothing: it told nothing and did nothing.
	Nothing Outcome = "nothing"
)

// Op is one operation. At one instant between Call and Return the keys of Reads
// held what they say, and Writes were applied.
type Op struct {
	Client  int    // within its process; in a merged history, within all
	N       int    // the how manyth of its client
	Kind    string // for people
	Call    int64  // nanoseconds of the monotonic clock
	Return  int64
	Reads   []Read  `json:",omitempty"`
	Writes  []Write `json:",omitempty"`
	Outcome Outcome

	// Apart: each key has an instant of its own.
	Apart bool `json:",omitempty"`
	// Again: what is written may be written more than once until Return. With
	// Apart only.
	Again bool `json:",omitempty"`
	// Differs: at least one of Reads did not hold: what a failed
	// compare-and-swap tells.
	Differs bool `json:",omitempty"`

	spare bool // one that Again adds: it need not be
}

// Read is what an operation observed of a key.
type Read struct {
	Key   int
	Value ID
	Any   bool `json:",omitempty"` // there is a value, whichever
}

// Write is what an operation does to a key: a put, or with the value 0 a delete.
type Write struct {
	Key   int
	Value ID
}

func (r Read) holds(s *State) bool {
	if r.Any {
		return s[r.Key] != 0
	}
	return s[r.Key] == r.Value
}

// matches reports whether the operation can have seen what it saw in s.
func (o *Op) matches(s *State) bool {
	for _, r := range o.Reads {
		if !r.holds(s) {
			return o.Differs
		}
	}
	return !o.Differs
}

// apply returns the state behind the operation.
func (o *Op) apply(s State) State {
	for _, w := range o.Writes {
		s[w.Key] = w.Value
	}
	return s
}

func keyName(key int) string { return "h" + strconv.Itoa(key) }

func valueName(id ID) string {
	if id == 0 {
		return "none"
	}
	return strconv.FormatUint(uint64(id), 10)
}

// String tells what the operation did and saw, without its times.
func (o Op) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s(", o.Kind)
	for i, w := range o.Writes {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s=%s", keyName(w.Key), valueName(w.Value))
	}
	b.WriteString(")")
	for i, r := range o.Reads {
		if i == 0 {
			b.WriteString(" saw ")
		} else {
			b.WriteString(", ")
		}
		value := valueName(r.Value)
		if r.Any {
			value = "some"
		}
		fmt.Fprintf(&b, "%s:%s", keyName(r.Key), value)
	}
	if o.Differs {
		b.WriteString(" (differs)")
	}
	if o.Outcome == Unknown {
		b.WriteString(" unknown")
	}
	return b.String()
}

// Key returns the hot key of that number.
func Key(key int) []byte { return []byte(keyName(key)) }

// hotKey returns the number of a hot key. Ballast, which lies between the hot
// keys, has longer names.
func hotKey(key []byte) (int, bool) {
	if len(key) != 2 || key[0] != 'h' || key[1] < '0' || key[1] >= '0'+MaxKeys {
		return 0, false
	}
	return int(key[1] - '0'), true
}

// Value returns the bytes that the put of that number writes: the number, and
// more, of a length that depends on it.
func Value(id ID) []byte {
	n := int(id*7919) % 211
	if id%17 == 0 {
		n = 3000
	}
	b := append(strconv.AppendUint(nil, uint64(id), 10), ' ')
	for range n {
		b = append(b, byte('a'+id%26))
	}
	return b
}

// parse returns the number of the put that wrote value. A nil value is none.
func parse(value []byte) (ID, error) {
	if value == nil {
		return 0, nil
	}
	number, _, _ := bytes.Cut(value, []byte(" "))
	id, err := strconv.ParseUint(string(number), 10, 64)
	if err != nil || !bytes.Equal(value, Value(ID(id))) {
		return 0, fmt.Errorf("%w: nobody wrote %.60q (%d bytes)", errLie, value, len(value))
	}
	return ID(id), nil
}
