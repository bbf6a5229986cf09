package coord

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"testing"
)

// pageRow is a row of a table in docs/shared-memory.md: where a field is.
//
//	| 64 | 4 | `hot.flip` | ...
var pageRow = regexp.MustCompile("(?m)^\\| (\\d+) \\| (\\d+) \\| `([a-zA-Z0-9.]+)`")

type place struct{ offset, size uint64 }

// fieldsOf adds the fields of a struct, those of structs in it by both names.
func fieldsOf(fields map[string]place, name string, t reflect.Type, at uint64) {
	for f := range t.Fields() {
		offset := at + uint64(f.Offset)
		full := name + "." + f.Name
		switch {
		case f.Name == "_":
		case f.Type.Kind() == reflect.Struct && f.Type.PkgPath() == t.PkgPath():
			fieldsOf(fields, full, f.Type, offset)
		default:
			fields[full] = place{offset, uint64(f.Type.Size())}
		}
	}
}

// TestSharedMemoryPage holds the offsets in docs/shared-memory.md against the
// structs: all fields are there, and nothing else. Those of a memtable are package
// memtable's.
func TestSharedMemoryPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/shared-memory.md")
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]place)
	for _, m := range pageRow.FindAllStringSubmatch(string(page), -1) {
		offset, err1 := strconv.ParseUint(m[1], 10, 64)
		size, err2 := strconv.ParseUint(m[2], 10, 64)
		if err1 != nil || err2 != nil {
			t.Errorf("%s: %v, %v", m[0], err1, err2)
		}
		if _, twice := got[m[3]]; twice && m[3] != "slot" {
			t.Errorf("%s is there twice", m[3])
		}
		got[m[3]] = place{offset, size}
	}

	want := make(map[string]place)
	for f := range reflect.TypeFor[block]().Fields() {
		switch f.Name {
		case "_":
		case "cold":
			fieldsOf(want, "cold", f.Type.Elem(), 0)
			if f.Offset != 128 || f.Type.Size() != 2*128 {
				t.Errorf("cold at %d, %d bytes", f.Offset, f.Type.Size())
			}
		case "members":
			fieldsOf(want, "slot", f.Type.Elem(), 0)
			if f.Offset != 4096 || f.Type.Size() != 1024*256 {
				t.Errorf("slots at %d, %d bytes", f.Offset, f.Type.Size())
			}
		default:
			fieldsOf(want, f.Name, f.Type, uint64(f.Offset))
		}
	}
	// The bytes of LOCK, and the bits of a lock's word, whose last row is the slot's.
	want["member"], want["join"], want["leader"] = place{memberByte, 1}, place{joinByte, 1}, place{leaderByte, 1}
	want["asleep"], want["woken"], want["starved"] = place{31, 1}, place{30, 1}, place{29, 1}
	want["generation"], want["slot"] = place{slotBits, generationBits}, place{0, slotBits}
	if asleep != 1<<31 || woken != 1<<30 || starved != 1<<29 {
		t.Error("the marks of a lock are other bits")
	}
	slots := regexp.MustCompile(fmt.Sprintf("(?m)^\\| %d \\| %d \\| `slot`", slotByte, maxMembers))
	if !slots.Match(page) {
		t.Errorf("the page does not have the slots' bytes at %d, %d of them", slotByte, maxMembers)
	}
	for _, name := range []string{"magic", "version", "size", "log", "tail", "first", "height"} {
		delete(got, name) // of a memtable
	}

	for _, name := range slices.Sorted(maps.Keys(want)) {
		if g, ok := got[name]; !ok {
			t.Errorf("the page does not have %s: offset %d, %d bytes", name, want[name].offset, want[name].size)
		} else if g != want[name] {
			t.Errorf("the page has %s at %d with %d bytes, want %d and %d", name, g.offset, g.size, want[name].offset, want[name].size)
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("the page has %s, the block has not", name)
	}
	if blockSize != 266240 || layoutVersion != 1 {
		t.Errorf("a block of %d bytes, version %d", blockSize, layoutVersion)
	}
}
