package lsm

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/wal"
)

// Property: a hole in a log of ours is where the power was lost, and ends what
// is read, of that log and those behind it; other damage costs the records that
// it hit, and those that LevelDB skips. What was once read stays, what was not
// does not come back, whoever writes more.
func TestHolesAndDamage(t *testing.T) {
	const each = 100 // records of a log, of more than a sector each
	value := strings.Repeat("v", 700)
	whole := t.TempDir()
	log := inTables(t, whole, 0)
	var ends []int64
	for l := range 2 {
		var batches []logBatch
		end := int64(0)
		for i := range each {
			n := l*each + i
			b := batchAt(format.SeqNum(n+1), putRecord(fmt.Sprintf("%03d", n), value))
			end += wal.EncodedLen(end, format.BatchHeaderLen+len(b.records[0]))
			batches, ends = append(batches, b), append(ends, end)
		}
		writeLogFile(t, whole, log+format.FileNum(l), batches...)
	}
	first, second := format.LogName(log), format.LogName(log+1)
	for _, c := range []struct {
		name, file string
		change     func(b []byte) []byte
		want       func(n int) bool
	}{
		{"nothing", first, func(b []byte) []byte { return b }, func(int) bool { return true }},
		{"hole", first, func(b []byte) []byte { clear(b[7*512 : 8*512]); return b }, func(n int) bool { return n < each && ends[n] <= 7*512 }},
		{"hole in the second", second, func(b []byte) []byte { clear(b[7*512 : 8*512]); return b }, func(n int) bool { return n < each || ends[n] <= 7*512 }},
		{"torn sector", first, func(b []byte) []byte { clear(b[7*512 : 7*512+64]); return b }, func(n int) bool { return n < each && ends[n] <= 7*512 }},
		{"short by a record", first, func(b []byte) []byte { return b[:ends[each-2]] }, func(n int) bool { return n < each-1 }},
		{"short within a record", first, func(b []byte) []byte { return b[:ends[each-2]-5] }, func(n int) bool { return n < each-2 }},
		{"zeros at the end", first, func(b []byte) []byte { clear(b[ends[each-3]:]); return b }, func(n int) bool { return n < each-2 }},
		{"empty", first, func(b []byte) []byte { return nil }, func(int) bool { return false }},
		{"empty second", second, func(b []byte) []byte { return nil }, func(n int) bool { return n < each }},
		{"one bit of the last record", first, func(b []byte) []byte { b[ends[each-2]+300] ^= 1; return b }, func(n int) bool { return n != each-1 }},
		{"one bit", first, func(b []byte) []byte { b[ends[2]+300] ^= 1; return b }, func(n int) bool { return n < 3 || ends[n] > wal.BlockSize && n < each || n >= each }},
	} {
		dir := t.TempDir()
		for name, contents := range filesOf(t, whole) {
			b := []byte(contents)
			if name == c.file {
				b = c.change(b)
			}
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want := make(map[string]string)
		for n := range 2 * each {
			if c.want(n) {
				want[fmt.Sprintf("%03d", n)] = value
			}
		}
		skipped := c.name == "one bit" // LevelDB skips more or less of a block
		for i, readOnly := range []bool{true, false, false, true} {
			db := openPrivate(t, dir, Config{ReadOnly: readOnly})
			got := dump(t, db, nil)
			if skipped {
				for n := range 2 * each {
					if key := fmt.Sprintf("%03d", n); ends[n] <= wal.BlockSize+1000 && n > 2 && n < each {
						delete(got, key)
						delete(want, key)
					}
				}
			}
			if !maps.Equal(got, want) {
				t.Errorf("%s, opened %d: %d entries, want %d", c.name, i, len(got), len(want))
			}
			if !readOnly {
				key := fmt.Sprint("new", i)
				write(t, db, putRecord(key, "new"))
				want[key] = "new"
			}
			// Without a check: it finds the damage. i == 1: as if killed.
			db.Resign()
			err := db.Close()
			if i != 1 {
				err = errors.Join(err, db.Tidy())
			}
			if err = errors.Join(err, db.Release()); err != nil {
				t.Fatal(err)
			}
		}
	}
}
