//go:build linux

package soak

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/levelparty/party"
)

// The keys. All but those of ballast, fixed and bank belong to a slot's
// generation; interop/soak.js has them, too.
func ownKey(slot int, gen uint64, e int) []byte {
	return fmt.Appendf(nil, "own/%02d/%08d/%02d", slot, gen, e)
}
func batchKey(slot int, gen uint64, i int) []byte {
	return fmt.Appendf(nil, "batch/%02d/%08d/%02d", slot, gen, i)
}
func partKey(slot int, gen uint64) []byte { return fmt.Appendf(nil, "count/part/%02d/%08d", slot, gen) }
func sharedKey(c int) []byte              { return fmt.Appendf(nil, "cas/%d", c) }
func accountKey(i int) []byte             { return fmt.Appendf(nil, "bank/%02d", i) }
func fixedKey(i int) []byte               { return fmt.Appendf(nil, "fixed/%04d", i) }
func ballastKey(i int) []byte             { return fmt.Appendf(nil, "ballast/%04d", i) }

var (
	totalKey = []byte("count/total")
	baseKey  = []byte("count/base")
)

// prefix is the range of the keys that begin with p.
func prefix(p string) party.Range {
	end := []byte(p)
	end[len(end)-1]++
	return party.Range{GTE: []byte(p), LT: end}
}

// parseKey takes a key of a slot's generation apart: "own", slot, generation and
// number.
func parseKey(key []byte) (kind string, slot int, gen uint64, n int, ok bool) {
	parts := strings.Split(string(key), "/")
	if len(parts) != 4 {
		return "", 0, 0, 0, false
	}
	if parts[0] == "count" { // count/part/<slot>/<gen>
		parts = append(parts[2:3:3], parts[3], "0")
		kind = "count"
	} else {
		kind, parts = parts[0], parts[1:]
	}
	slot, err1 := strconv.Atoi(parts[0])
	gen, err2 := strconv.ParseUint(parts[1], 10, 64)
	n, err3 := strconv.Atoi(parts[2])
	return kind, slot, gen, n, err1 == nil && err2 == nil && err3 == nil
}

// stamp is which write of a key a value comes from: the number of the write, and
// how often that was tried.
type stamp struct{ N, Try uint64 }

// deleteEvery says which writes of own keys are deletions; those of batches are
// by deleteBatch.
const (
	deleteEvery = 7
	deleteBatch = 5
)

// stamped returns the value that a write of key stores: what it is, again and
// again.
func stamped(key []byte, s stamp) []byte {
	head := fmt.Appendf(nil, "%s=%d.%d;", key, s.N, s.Try)
	size := len(head) + int(s.N*37+uint64(key[len(key)-1])*101)%700
	return bytes.Repeat(head, size/len(head)+1)[:size]
}

// parseStamp returns which write of key a value comes from. Values of other keys,
// and damaged ones, are errors.
func parseStamp(key, value []byte) (s stamp, err error) {
	rest, ok := bytes.CutPrefix(value, append(bytes.Clone(key), '='))
	head, _, closed := bytes.Cut(rest, []byte(";"))
	n, try, dot := strings.Cut(string(head), ".")
	if ok && closed && dot {
		var err1, err2 error
		s.N, err1 = strconv.ParseUint(n, 10, 64)
		s.Try, err2 = strconv.ParseUint(try, 10, 64)
		if err := errors.Join(err1, err2); err == nil && bytes.Equal(value, stamped(key, s)) {
			return s, nil
		}
	}
	return s, fmt.Errorf("%s has a value that nobody wrote: %.80q", key, value)
}

func number(b []byte) (uint64, error) {
	if b == nil {
		return 0, nil
	}
	return strconv.ParseUint(string(b), 10, 64)
}

func decimal(n uint64) []byte { return strconv.AppendUint(nil, n, 10) }
