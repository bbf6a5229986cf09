package wire

import (
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// docExample is a line of docs/protocol.md: what a frame says, and its bytes.
//
//	get k    06 00 0801 1a016b
var docExample = regexp.MustCompile(`^(.*?\S)  +([0-9a-f ]+)$`)

// docExamples returns the examples of the page, by protocol, which the
// language of a code block names: "frames rave-level".
func docExamples(t *testing.T) map[string]map[string][]byte {
	t.Helper()
	page, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := make(map[string]map[string][]byte)
	proto, inside := "", false
	for n, line := range strings.Split(string(page), "\n") {
		if fence, ok := strings.CutPrefix(line, "```"); ok {
			proto, inside = strings.CutPrefix(fence, "frames ")
			if inside && examples[proto] == nil {
				examples[proto] = make(map[string][]byte)
			}
			continue
		}
		if !inside || line == "" {
			continue
		}
		m := docExample.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("line %d is no example: %q", n+1, line)
			continue
		}
		frame, err := hex.DecodeString(strings.ReplaceAll(m[2], " ", ""))
		if err != nil {
			t.Errorf("line %d: %v", n+1, err)
		}
		if examples[proto][m[1]] != nil {
			t.Errorf("line %d: a second example of %q", n+1, m[1])
		}
		examples[proto][m[1]] = frame
	}
	return examples
}

// say describes the frame of c as docs/protocol.md does.
func (c *goldenCase) say() string {
	v := &c.Value
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	bytes := func(name string, b octets) {
		if b != nil {
			add("%s %q", name, []byte(b))
		}
	}
	add("%s %s id=%d", c.From, c.Name, v.ID)
	many := strings.HasPrefix(c.Name, "Iterator") && v.Batch == 0 && (c.Name != "Iterator" || v.Options != nil)
	if many && (c.Name != "IteratorData" || v.Data != nil) && c.Name != "IteratorClose" {
		add("seq=%d", v.Seq)
	}
	if c.Name == "Iterator" && !many {
		add("batch=%d", v.Batch)
	}
	bytes("key", v.Key)
	bytes("value", v.Value)
	if len(v.Error) > 0 {
		add("error %q", v.Error)
	}
	for _, op := range v.Ops {
		add("%s %q", op.Type, []byte(op.Key))
		if op.Type == "put" {
			add("%q", []byte(op.Value))
		}
	}
	for _, k := range v.Keys {
		bytes("key", k)
	}
	for _, value := range v.Values {
		if value.Value == nil {
			add("missing")
		}
		bytes("value", value.Value)
	}
	for _, item := range v.Data {
		add("%q", []byte(item))
	}
	if o := v.Options; o != nil {
		if c.Name == "Iterator" {
			add("keys=%t values=%t", o.Keys, o.Values)
		}
		bytes("gt", o.Gt)
		bytes("gte", o.Gte)
		bytes("lt", o.Lt)
		bytes("lte", o.Lte)
		add("limit=%d reverse=%t", o.Limit, o.Reverse)
	}
	if many && c.Name == "Iterator" || c.Name == "IteratorAck" {
		add("consumed=%d", v.Consumed)
	}
	bytes("bookmark", v.Bookmark)
	bytes("seek", v.Seek)
	bytes("target", v.Target)
	return strings.Join(parts, " ")
}

// TestProtocolPage holds the examples of docs/protocol.md against the code:
// every frame shown is what its description says, and of every message at least
// one is shown.
func TestProtocolPage(t *testing.T) {
	pages := docExamples(t)
	for _, p := range []Proto{Many, Multi} {
		examples := pages[p.String()]
		want := make(map[string]bool) // messages still to be shown
		say := make(map[string]octets)
		for _, c := range loadGolden(t, p) {
			want[c.From+" "+c.Name] = true
			say[c.say()] = c.Frame
		}
		for text, frame := range examples {
			if golden := say[text]; string(golden) != string(frame) {
				t.Errorf("%s: %s: the page has %x, npm makes %x", p, text, frame, []byte(golden))
			}
			words := strings.Fields(text)
			delete(want, words[0]+" "+words[1])
		}
		for message := range want {
			t.Errorf("%s: no example of %s", p, message)
		}
	}
	examples := pages[Party.String()]
	for _, c := range partyExamples {
		if string(examples[c.name]) != string(c.frame) {
			t.Errorf("%s: the page has %x, want %x", c.name, examples[c.name], c.frame)
		}
		delete(examples, c.name)
	}
	for name := range examples {
		t.Errorf("%s: not among partyExamples", name)
	}
}
