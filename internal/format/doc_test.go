package format_test

import (
	"bytes"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/manifest"
	"github.com/levelparty/party/internal/format/sstable"
	"github.com/levelparty/party/internal/format/wal"
)

// docExamples returns the examples of docs/format.md: the bytes of its blocks
// "```bytes name", which are hexadecimal up to a #. Those of party.once package
// leader looks at.
func docExamples(t *testing.T) map[string][]byte {
	t.Helper()
	page, err := os.ReadFile("../../docs/format.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := make(map[string][]byte)
	name, inside := "", false
	for n, line := range strings.Split(string(page), "\n") {
		if fence, ok := strings.CutPrefix(line, "```"); ok {
			if name, inside = strings.CutPrefix(fence, "bytes "); strings.HasPrefix(name, "once ") {
				inside = false
			} else if inside {
				if examples[name] != nil {
					t.Errorf("line %d: a second example %q", n+1, name)
				}
				examples[name] = []byte{}
			}
			continue
		}
		if !inside {
			continue
		}
		digits, _, _ := strings.Cut(line, "#")
		b, err := hex.DecodeString(strings.Join(strings.Fields(digits), ""))
		if err != nil {
			t.Errorf("line %d: %v", n+1, err)
		}
		examples[name] = append(examples[name], b...)
	}
	return examples
}

// docBatch is the batch that the page shows: put "fruit" "apple", delete "nut",
// numbered from 7 on.
func docBatch() []byte {
	b := format.AppendBatchHeader(nil, 7, 2)
	b = format.AppendPut(b, []byte("fruit"), []byte("apple"))
	return format.AppendDelete(b, []byte("nut"))
}

var docEdits = map[string]manifest.Edit{
	"edit of a new database": {
		HasComparator: true, Comparator: format.ComparerName,
		HasLogNumber: true, HasPrevLogNumber: true,
		HasNextFile: true, NextFile: 2,
		HasLastSeq: true,
	},
	"edit of a flush": {
		HasLogNumber: true, LogNumber: 4,
		HasPrevLogNumber: true,
		HasNextFile:      true, NextFile: 6,
		HasLastSeq: true, LastSeq: 8,
		Added: []manifest.AddedFile{{Level: 0, FileMeta: manifest.FileMeta{
			Num: 5, Size: 200,
			Smallest: ikey("fruit", 7, format.KindPut),
			Largest:  ikey("nut", 8, format.KindDelete),
		}}},
	},
	"edit of a compaction": {
		HasNextFile: true, NextFile: 12,
		CompactPointers: []manifest.CompactPointer{{Level: 1, Key: ikey("nut", 8, format.KindDelete)}},
		Deleted:         []manifest.DeletedFile{{Level: 1, Num: 5}, {Level: 2, Num: 9}},
		Added: []manifest.AddedFile{{Level: 2, FileMeta: manifest.FileMeta{
			Num: 11, Size: 300,
			Smallest: ikey("fig", 3, format.KindPut),
			Largest:  ikey("fruit", 7, format.KindPut),
		}}},
	},
}

// docTable returns a table of the entries.
func docTable(t *testing.T, o sstable.WriterOptions, entries ...[2][]byte) []byte {
	t.Helper()
	var file bytes.Buffer
	w := sstable.NewWriter(&file, o)
	for _, e := range entries {
		if err := w.Add(e[0], e[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// TestFormatPage holds the examples of docs/format.md against the code, which
// writes those bytes and reads them.
func TestFormatPage(t *testing.T) {
	page := docExamples(t)
	check := func(name string, want []byte) (found []byte) {
		t.Helper()
		got, ok := page[name]
		if !ok {
			t.Errorf("the page has no example %q: %x", name, want)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s: the page has %x, want %x", name, got, want)
		}
		delete(page, name)
		return got
	}

	check("internal key", ikey("fruit", 7, format.KindPut))

	seq, count, records, err := format.ParseBatch(check("batch", docBatch()))
	if n, e := format.CountRecords(records); seq != 7 || count != 2 || n != 2 || err != nil || e != nil {
		t.Errorf("batch %d of %d records, %d, %v, %v", seq, count, n, err, e)
	}

	log := wal.AppendRecord(nil, 0, docBatch())
	check("log", log)
	check("log, last 8 bytes of a block", wal.AppendRecord(nil, wal.BlockSize-8, []byte("foo")))
	check("log, last 7 bytes of a block", wal.AppendRecord(nil, wal.BlockSize-7, []byte("foo")))
	check("log, last 6 bytes of a block", wal.AppendRecord(nil, wal.BlockSize-6, []byte("foo")))
	r := wal.NewReader(bytes.NewReader(append(log, make([]byte, 2*wal.BlockSize)...)), "log", 0, -1)
	if payload, end, err := r.Next(); !bytes.Equal(payload, docBatch()) || end != int64(len(log)) || err != nil {
		t.Errorf("log: %x up to %d, %v", payload, end, err)
	}
	if _, _, err := r.Next(); err != io.EOF || r.Torn() {
		t.Errorf("behind the log: %v, torn %v", err, r.Torn())
	}

	for name, edit := range docEdits {
		var back manifest.Edit
		b := check(name, edit.Append(nil))
		if err := back.Decode(b); err != nil || !bytes.Equal(back.Append(nil), b) {
			t.Errorf("%s: %+v, %v", name, back, err)
		}
	}
	created := docEdits["edit of a new database"]
	check("manifest of a new database", wal.AppendRecord(nil, 0, created.Append(nil)))
	if n, err := manifest.ReadCurrent(check("current", manifest.CurrentContents(1))); n != 1 || err != nil {
		t.Errorf("CURRENT names %d, %v", n, err)
	}

	table := check("table", docTable(t, sstable.WriterOptions{},
		[2][]byte{ikey("apple", 3, format.KindPut), []byte("red")},
		[2][]byte{ikey("apricot", 2, format.KindDelete), nil},
		[2][]byte{ikey("apricot", 1, format.KindPut), []byte("orange")}))
	tr, err := sstable.Open(bytes.NewReader(table), int64(len(table)), sstable.ReaderOptions{VerifyChecksums: true})
	if err != nil {
		t.Fatal(err)
	}
	v, trailer, ok, err := tr.Get([]byte("apricot"), 1, new(sstable.Scratch))
	if string(v) != "orange" || trailer != format.Trailer(1, format.KindPut) || !ok || err != nil {
		t.Errorf("table: %q, %x, %v, %v", v, trailer, ok, err)
	}

	// The first block of a table, and what follows it.
	packed := docTable(t, sstable.WriterOptions{Compression: sstable.Snappy},
		[2][]byte{ikey("key", 1, format.KindPut), bytes.Repeat([]byte("v"), 100)})
	check("compressed block", packed[:min(len(page["compressed block"]), len(packed))])

	for name := range page {
		t.Errorf("the code has no example %q", name)
	}
}
