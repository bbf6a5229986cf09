package manifest_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/manifest"
	"github.com/levelparty/party/internal/format/wal"
	"github.com/levelparty/party/internal/store"
)

var update = flag.Bool("update", false, "write testdata/leveldb.txt")

func ikey(user string, seq format.SeqNum) []byte {
	return format.AppendInternalKey(nil, []byte(user), seq, format.KindPut)
}

func file(level int, num format.FileNum, size uint64, smallest, largest []byte) manifest.AddedFile {
	return manifest.AddedFile{Level: level, FileMeta: manifest.FileMeta{Num: num, Size: size, Smallest: smallest, Largest: largest}}
}

func TestEdit(t *testing.T) {
	for _, c := range []struct {
		name string
		edit manifest.Edit
		want string
	}{
		{"empty", manifest.Edit{}, ""},
		{"not set", manifest.Edit{Comparator: "x", LogNumber: 1, PrevLogNumber: 2, NextFile: 3, LastSeq: 4}, ""},
		{"numbers", manifest.Edit{
			HasComparator: true, Comparator: "cmp",
			HasLogNumber: true, LogNumber: 5,
			HasPrevLogNumber: true, PrevLogNumber: 0,
			HasNextFile: true, NextFile: 300,
			HasLastSeq: true, LastSeq: format.MaxSeqNum,
		}, "\x01\x03cmp" + "\x02\x05" + "\x09\x00" + "\x03\xac\x02" + "\x04\xff\xff\xff\xff\xff\xff\xff\x7f"},
		{"files", manifest.Edit{
			CompactPointers: []manifest.CompactPointer{{1, ikey("p", 2)}},
			Deleted:         []manifest.DeletedFile{{0, 7}, {6, 200}},
			Added:           []manifest.AddedFile{file(2, 8, 1000, ikey("", 1), ikey("z", 258))},
		}, "\x05\x01\x09p\x01\x02\x00\x00\x00\x00\x00\x00" +
			"\x06\x00\x07" + "\x06\x06\xc8\x01" +
			"\x07\x02\x08\xe8\x07" + "\x08\x01\x01\x00\x00\x00\x00\x00\x00" + "\x09z\x01\x02\x01\x00\x00\x00\x00\x00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.edit.Append([]byte("before"))
			if want := "before" + c.want; string(got) != want {
				t.Fatalf("got  %q\nwant %q", got, want)
			}
			var back manifest.Edit
			if err := back.Decode(got[len("before"):]); err != nil {
				t.Fatal(err)
			}
			if c.want != "" && !reflect.DeepEqual(back, c.edit) {
				t.Errorf("got  %+v\nwant %+v", back, c.edit)
			}
		})
	}
}

func TestDecodeKeepsNothing(t *testing.T) {
	want := manifest.Edit{Added: []manifest.AddedFile{file(1, 2, 3, ikey("a", 4), ikey("b", 5))}}
	payload := want.Append(nil)
	got := manifest.Edit{HasLastSeq: true, LastSeq: 9, Deleted: []manifest.DeletedFile{{1, 2}}}
	if err := got.Decode(payload); err != nil {
		t.Fatal(err)
	}
	clear(payload)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	// The keys share memory: to append to one must not change the next.
	_ = append(got.Added[0].Smallest, "overwritten"...)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("after an append: %+v", got)
	}
}

// Of a field that is there twice the last counts, and the order of fields does
// not matter: goleveldb has its own.
func TestDecodeOrder(t *testing.T) {
	var e manifest.Edit
	if err := e.Decode([]byte("\x04\x01" + "\x06\x01\x02" + "\x02\x03" + "\x04\x05" + "\x02\x84\x00")); err != nil {
		t.Fatal(err)
	}
	want := manifest.Edit{HasLogNumber: true, LogNumber: 4, HasLastSeq: true, LastSeq: 5, Deleted: []manifest.DeletedFile{{1, 2}}}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("got %+v", e)
	}
}

func TestDecodeDamage(t *testing.T) {
	key := "\x08\x01\x00\x00\x00\x00\x00\x00\x00"
	for _, c := range []struct{ name, payload, want string }{
		{"tag 0", "\x00", "unknown tag 0"},
		{"tag 8", "\x02\x01\x08\x00", "unknown tag 8"},
		{"tag 10", "\x0a", "unknown tag 10"},
		{"tag cut short", "\x02\x01\x80", "tag is cut short"},
		{"tag too great", "\x80\x80\x80\x80\x10", "tag is out of range"},
		{"comparer cut short", "\x01\x05cmp", "comparer is cut short"},
		{"comparer of great length", "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01cmp", "comparer is cut short"},
		{"log number missing", "\x02", "log number is cut short"},
		{"log number too great", "\x02\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", "log number is out of range"},
		{"number over 64 bits", "\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "next file number is out of range"},
		{"sequence over 56 bits", "\x04\x80\x80\x80\x80\x80\x80\x80\x80\x01", "last sequence number is out of range"},
		{"level 7", "\x06\x07\x01", "level is out of range"},
		{"level missing", "\x06", "level is cut short"},
		{"deleted file missing", "\x06\x01", "deleted file is cut short"},
		{"pointer without trailer", "\x05\x01\x03abc", "compaction pointer is no internal key"},
		{"empty pointer", "\x05\x01\x00", "compaction pointer is no internal key"},
		{"added file without keys", "\x07\x01\x05\x06", "smallest key is cut short"},
		{"added file without largest key", "\x07\x01\x05\x06" + key, "largest key is cut short"},
		{"added file with a short key", "\x07\x01\x05\x06" + key + "\x07abcdefg", "largest key is no internal key"},
		{"size too great", "\x07\x01\x05\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + key + key, "size of a file is out of range"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var e manifest.Edit
			err := e.Decode([]byte(c.payload))
			var corruption *format.Corruption
			if !errors.As(err, &corruption) || !errors.Is(err, store.ErrCorrupted) || corruption.Reason != c.want {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if want := int64(strings.LastIndex(c.payload, "\x08\x00")); c.name == "tag 8" && corruption.Offset != want {
				t.Errorf("offset %d, want %d", corruption.Offset, want)
			}
		})
	}
	// Cut anywhere but between fields, an edit is damaged.
	whole := randomEdit(rand.New(rand.NewPCG(1, 2)), 3)
	payload := whole.Append(nil)
	good := 0
	for n := range payload {
		var e manifest.Edit
		if err := e.Decode(payload[:n]); err == nil {
			good++
			if got := e.Append(nil); !bytes.Equal(got, payload[:n]) {
				t.Errorf("cut to %d bytes: decoded to %+v", n, e)
			}
		}
	}
	if fields := 5 + 3*3; good != fields {
		t.Errorf("%d prefixes are valid, want %d", good, fields)
	}
}

// randomEdit returns one with all numbers and n of each list.
func randomEdit(rnd *rand.Rand, n int) manifest.Edit {
	num := func() format.FileNum { return format.FileNum(rnd.Uint64() & math.MaxInt64 >> rnd.IntN(64)) }
	key := func() []byte {
		user := make([]byte, rnd.IntN(200))
		for i := range user {
			user[i] = byte(rnd.Uint32())
		}
		return format.AppendInternalKey(nil, user, format.SeqNum(rnd.Uint64())&format.MaxSeqNum, format.Kind(rnd.IntN(2)))
	}
	e := manifest.Edit{
		HasComparator: true, Comparator: format.ComparerName,
		HasLogNumber: true, LogNumber: num(),
		HasPrevLogNumber: true, PrevLogNumber: num(),
		HasNextFile: true, NextFile: num(),
		HasLastSeq: true, LastSeq: format.SeqNum(rnd.Uint64()) & format.MaxSeqNum,
	}
	for range n {
		level := rnd.IntN(manifest.NumLevels)
		e.CompactPointers = append(e.CompactPointers, manifest.CompactPointer{Level: level, Key: key()})
		e.Deleted = append(e.Deleted, manifest.DeletedFile{Level: level, Num: num()})
		e.Added = append(e.Added, file(level, num(), uint64(num()), key(), key()))
	}
	return e
}

func TestEditRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		want := randomEdit(rnd, 1+rnd.IntN(5))
		var got manifest.Edit
		if err := got.Decode(want.Append(nil)); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
	}
}

// edits returns those of a manifest.
func edits(t *testing.T, log []byte) (all []manifest.Edit, payloads [][]byte) {
	t.Helper()
	r := wal.NewReader(bytes.NewReader(log), "MANIFEST", 0, -1)
	for {
		payload, _, err := r.Next()
		if err == io.EOF {
			return all, payloads
		}
		if err != nil {
			t.Fatal(err)
		}
		var e manifest.Edit
		if err := e.Decode(payload); err != nil {
			t.Fatal(err)
		}
		all, payloads = append(all, e), append(payloads, bytes.Clone(payload))
	}
}

// A manifest of C++ LevelDB is read, and would be written, byte for byte.
func TestGolden(t *testing.T) {
	golden, err := os.ReadFile("testdata/leveldb.manifest")
	if err != nil {
		t.Fatal(err)
	}
	all, _ := edits(t, golden)
	var text strings.Builder
	var log []byte
	for _, e := range all {
		text.WriteString(describe(&e) + "\n")
		log = wal.AppendRecord(log, int64(len(log)), e.Append(nil))
	}
	if !bytes.Equal(log, golden) {
		t.Error("the same edits make another manifest")
	}
	const name = "testdata/leveldb.txt"
	if *update {
		if err := os.WriteFile(name, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf("got\n%swant\n%s", text.String(), want)
	}
}

func describe(e *manifest.Edit) string {
	var parts []string
	add := func(f string, args ...any) { parts = append(parts, fmt.Sprintf(f, args...)) }
	key := func(k []byte) string {
		return fmt.Sprintf("%q@%d:%d", format.UserKey(k), format.KeySeq(k), format.KeyKind(k))
	}
	if e.HasComparator {
		add("comparer %s", e.Comparator)
	}
	if e.HasLogNumber {
		add("log %d", e.LogNumber)
	}
	if e.HasPrevLogNumber {
		add("previous log %d", e.PrevLogNumber)
	}
	if e.HasNextFile {
		add("next file %d", e.NextFile)
	}
	if e.HasLastSeq {
		add("last sequence %d", e.LastSeq)
	}
	for _, p := range e.CompactPointers {
		add("level %d compacts behind %s", p.Level, key(p.Key))
	}
	for _, d := range e.Deleted {
		add("level %d loses %d", d.Level, d.Num)
	}
	for _, a := range e.Added {
		add("level %d gains %d of %d bytes, %s to %s", a.Level, a.Num, a.Size, key(a.Smallest), key(a.Largest))
	}
	return strings.Join(parts, "; ")
}

// What goleveldb says of a database is what its manifest says.
func TestGoleveldb(t *testing.T) {
	dir := t.TempDir()
	db, err := leveldb.OpenFile(dir, &opt.Options{WriteBuffer: 32 << 10, DisableBlockCache: true, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		if err := db.Put(fmt.Appendf(nil, "%04d", i*37%300), bytes.Repeat([]byte{byte(i)}, 1000), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.CompactRange(util.Range{}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	current, err := os.ReadFile(filepath.Join(dir, manifest.CurrentName))
	if err != nil {
		t.Fatal(err)
	}
	n, err := manifest.ReadCurrent(current)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(dir, format.ManifestName(n)))
	if err != nil {
		t.Fatal(err)
	}
	all, payloads := edits(t, log)
	live := make(map[format.FileNum]uint64)
	comparer := ""
	for i, e := range all {
		if e.HasComparator {
			comparer = e.Comparator
		}
		for _, d := range e.Deleted {
			delete(live, d.Num)
		}
		for _, a := range e.Added {
			live[a.Num] = a.Size
			if format.CompareInternal(a.Smallest, a.Largest) > 0 {
				t.Errorf("edit %d: %s", i, describe(&e))
			}
		}
		if got := e.Append(nil); len(got) != len(payloads[i]) {
			t.Errorf("edit %d: encoded to %d bytes, was %d", i, len(got), len(payloads[i]))
		}
	}
	if comparer != format.ComparerName || len(live) == 0 {
		t.Errorf("comparer %q, %d tables", comparer, len(live))
	}
	for num, size := range live {
		info, err := os.Stat(filepath.Join(dir, format.TableName(num)))
		if err != nil || uint64(info.Size()) != size {
			t.Errorf("table %d of %d bytes: %v, %v", num, size, info, err)
		}
	}
}

// FuzzEdit decodes any bytes; what can be decoded is encoded to the same edit.
func FuzzEdit(f *testing.F) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for n := range 3 {
		e := randomEdit(rnd, n)
		f.Add(e.Append(nil))
	}
	f.Add([]byte("\x01\x03cmp\x02\x80\x00\x06\x00\x07"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		var e, again manifest.Edit
		if err := e.Decode(payload); err != nil {
			if !errors.Is(err, store.ErrCorrupted) {
				t.Fatal(err)
			}
			return
		}
		encoded := e.Append(nil)
		if len(encoded) > len(payload) {
			t.Fatalf("%d bytes of %d", len(encoded), len(payload))
		}
		if err := again.Decode(encoded); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(again, e) {
			t.Fatalf("got  %+v\nwant %+v", again, e)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	e := randomEdit(rand.New(rand.NewPCG(1, 2)), 4)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = e.Append(buf[:0])
	}
}

func BenchmarkDecode(b *testing.B) {
	e := randomEdit(rand.New(rand.NewPCG(1, 2)), 4)
	payload := e.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Decode(payload); err != nil {
			b.Fatal(err)
		}
	}
}
