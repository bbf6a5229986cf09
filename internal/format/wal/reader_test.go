package wal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/wal"
	"github.com/levelparty/party/internal/store"
)

// fragment returns one with a right checksum.
func fragment(kind byte, payload []byte) []byte {
	b := []byte{0, 0, 0, 0, byte(len(payload)), byte(len(payload) >> 8), kind}
	b = append(b, payload...)
	binary.LittleEndian.PutUint32(b, format.Checksum(b[6:]))
	return b
}

// TestReader tells what is said of every sort of damage.
func TestReader(t *testing.T) {
	const block = wal.BlockSize
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	log := func(lengths ...int) []byte { b, _ := logOf(lengths...); return b }
	flip := func(b []byte, at int) []byte { b[at] ^= 0x40; return b }
	// to fills a block up to offset, which is in it, with one record.
	to := func(offset int) []byte { return log(offset - 7) }
	zeros := func(n int) []byte { return make([]byte, n) }

	for _, c := range []struct {
		name string
		log  []byte
		want string
	}{
		{"empty", nil, "end 0, torn false\n"},
		{"records", log(10, 0, 100),
			"10 bytes to 17\n0 bytes to 24\n100 bytes to 131\nend 131, torn false\n"},
		{"over blocks", log(block, 10, 3*block),
			"32768 bytes to 32782\n10 bytes to 32799\n98304 bytes to 131131\nend 131131, torn false\n"},

		// What a crash leaves.
		{"zeros behind", join(log(10), zeros(5*block)),
			"10 bytes to 17\nend 17, torn false\n"},
		{"zeros alone", zeros(3*block + 5), "end 0, torn false\n"},
		{"few zeros behind", join(log(10), zeros(3)),
			"10 bytes to 17\nend 17, torn false\n"},
		{"header cut", join(log(10), log(20)[:5]),
			"10 bytes to 17\nend 17, torn true\n"},
		{"payload cut", join(log(10), log(20)[:15]),
			"10 bytes to 17\nend 17, torn true\n"},
		{"payload cut, zeros behind", join(log(10), log(20)[:15], zeros(3*block)),
			"10 bytes to 17\nend 17, torn true\n"},
		{"header cut, zeros behind", join(log(10), log(20)[:5], zeros(3*block)),
			"10 bytes to 17\nend 17, torn true\n"},
		{"header missing, payload there", join(log(10), zeros(7), log(20)[7:], zeros(3*block)),
			"10 bytes to 17\nend 17, torn true\n"},
		{"cut at a block's end", join(log(10), log(2 * block)[:block-17]),
			"10 bytes to 17\nend 17, torn true\n"},
		{"cut at a block's end, zeros behind", join(to(block-20), fragment(2, payload(13)), zeros(3*block)),
			"32741 bytes to 32748\nend 32748, torn true\n"},
		{"beginning missing, rest there", join(zeros(block), log(2 * block)[block:], zeros(block)),
			"end 0, torn true\n"},
		{"beginning damaged, rest there", join(flip(log(2*block), 100), zeros(block)),
			"end 0, torn true\n"},
		{"two pages of an unfinished record", join(log(10), log(9000)[:4000], zeros(1000), log(9000)[5000:], zeros(block)),
			"10 bytes to 17\nend 17, torn true\n"},
		{"last byte of a full block damaged", flip(log(block-7), block-1),
			"end 0, torn true\n"},
		{"length past a full last block", join(to(block-20), flip(fragment(1, payload(13)), 4)),
			"32741 bytes to 32748\nend 32748, torn true\n"},

		// What LevelDB leaves where it appends to a log that has zeros at its end.
		{"a hole up to a block", join(log(10), zeros(2*block-17), log(20)),
			"10 bytes to 17\n20 bytes to 65563\nend 65563, torn false\n"},

		// Damage with records behind.
		{"checksum", join(flip(log(10), 8), zeros(block-17), log(20)),
			"20 bytes to 32795\ndamage at 0: the checksum of a fragment is wrong\nend 32795, torn false\n"},
		{"checksum, records in the same block", flip(log(10, 20, 30), 8),
			"damage at 0: the checksum of a fragment is wrong\nend 0, torn true\n"},
		{"checksum, last of many", flip(log(10, 20, 30), 47),
			"10 bytes to 17\n20 bytes to 44\nend 44, torn true\n"},
		{"length past the block", join(to(block-20), flip(fragment(1, payload(13)), 5), log(10)),
			"32741 bytes to 32748\n10 bytes to 32785\ndamage at 32748: a fragment runs past its block\nend 32785, torn false\n"},
		{"length past the block, records in the same block", join(flip(log(10, 20), 5), log(1000), zeros(block-1061), log(10))[:16<<10],
			"end 0, torn true\n"}, // as LevelDB: it can be a write that was cut short
		{"length too great", join(flip(log(10, 20), 5), zeros(block)),
			"end 0, torn true\n"}, // within what it claims to be nothing is looked for
		{"length too small", flip(log(70, 20), 4),
			"damage at 0: the checksum of a fragment is wrong\nend 0, torn true\n"},
		{"middle of a record", join(flip(log(3*block), block+100), log(10)),
			"10 bytes to 98349\ndamage at 32768: the checksum of a fragment is wrong\nend 98349, torn false\n"},
		{"middle of a record, nothing behind", flip(log(3*block), block+100),
			"end 0, torn true\n"},
		{"every other block", join(flip(to(block), 9), to(block), flip(to(block), 9), to(block), flip(to(block), 9)),
			"32761 bytes to 65536\n32761 bytes to 131072\n" +
				"damage at 0: the checksum of a fragment is wrong\ndamage at 65536: the checksum of a fragment is wrong\nend 131072, torn true\n"},
		{"three blocks in a row", join(flip(to(block), 9), flip(to(block), 9), flip(to(block), 9), log(10)),
			"10 bytes to 98321\ndamage at 0: the checksum of a fragment is wrong\n" +
				"damage at 32768: the checksum of a fragment is wrong\ndamage at 65536: the checksum of a fragment is wrong\nend 98321, torn false\n"},

		// Fragments that do not make a record.
		{"no beginning", join(fragment(4, payload(5)), log(10)),
			"10 bytes to 29\ndamage at 0: the beginning of a record is missing\nend 29, torn false\n"},
		{"no beginning of a long one", join(fragment(3, payload(block-7)), fragment(3, payload(block-7)), fragment(4, payload(5)), log(10)),
			"10 bytes to 65565\ndamage at 0: the beginning of a record is missing\nend 65565, torn false\n"},
		{"no beginning, nothing behind", join(log(10), fragment(4, payload(5))),
			"10 bytes to 17\nend 17, torn true\n"},
		{"no end, full behind", join(fragment(2, payload(5)), log(10)),
			"10 bytes to 29\ndamage at 0: a record has no end\nend 29, torn false\n"},
		{"no end, first behind", join(fragment(2, payload(5)), fragment(2, payload(3)), fragment(4, payload(3))),
			"6 bytes to 32\ndamage at 0: a record has no end\nend 32, torn false\n"},
		{"no end, zeros behind, then a record", join(to(block-12), fragment(2, payload(5)), zeros(block), log(10)),
			"32749 bytes to 32756\n10 bytes to 65553\ndamage at 32756: a record ends in zeros\nend 65553, torn false\n"},
		{"an empty first that was given up", join(to(block-7), fragment(2, nil), log(10)),
			"32754 bytes to 32761\n10 bytes to 32785\nend 32785, torn false\n"},
		{"unknown kind", join(fragment(9, payload(5)), log(10)),
			"10 bytes to 29\ndamage at 0: unknown kind of fragment 9\nend 29, torn false\n"},
		{"unknown kind, nothing behind", join(log(10), fragment(9, payload(5))),
			"10 bytes to 17\ndamage at 17: unknown kind of fragment 9\nend 17, torn true\n"},
		{"kind zero with a payload", join(fragment(0, payload(5)), log(10)),
			"10 bytes to 29\ndamage at 0: unknown kind of fragment 0\nend 29, torn false\n"},
		{"something in the trailer", join(to(block-3), []byte("abc"), log(10)),
			"32758 bytes to 32765\n10 bytes to 32785\nend 32785, torn false\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := readAll(t, c.log, 0, -1)
			if got.String() != c.want {
				t.Errorf("got\n%vwant\n%s", got, c.want)
			}
			if want := levelDBRecords(c.log, 0); !slices.EqualFunc(got.records, want, bytes.Equal) {
				t.Errorf("LevelDB would read %d records, got %d", len(want), len(got.records))
			}
			for _, d := range got.damage {
				if !errors.Is(d, store.ErrCorrupted) {
					t.Errorf("%v is not ErrCorrupted", d)
				}
			}
		})
	}
}

// A log that is read up to every limit and from every end.
func TestReaderLimit(t *testing.T) {
	log, ends := logOf(100, 0, wal.BlockSize-250, 60, 2*wal.BlockSize, 5, wal.BlockSize)
	junk := append(slices.Clone(log), log[:1000]...)
	starts := append([]int64{0}, ends...)
	for i, start := range starts {
		for j := i; j < len(starts); j++ {
			for _, cut := range []int64{0, 1, 6, 7, 30} {
				limit := starts[j] + cut
				got := readAll(t, junk, start, limit)
				// At the last end the records begin again, if not at a block.
				if cut == 0 && (len(got.records) != j-i || got.end != starts[j] || got.torn || got.damage != nil) {
					t.Errorf("from %d to %d:\n%v", start, limit, got)
				}
				if cut > 0 && j < len(ends) && limit < ends[j] && (len(got.records) != j-i || got.end != starts[j] || got.damage != nil) {
					t.Errorf("from %d to %d:\n%v", start, limit, got)
				}
			}
		}
	}
}

// A member follows a log while another one writes it.
func TestReaderFollows(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	log := make([]byte, 1<<20) // allocated ahead
	var r wal.Reader
	read, end := int64(0), int64(0)
	var want [][]byte
	for end < 900<<10 {
		for range rnd.IntN(5) {
			p := payload(rnd.IntN(1 << rnd.IntN(17)))
			end += int64(copy(log[end:], wal.AppendRecord(nil, end, p)))
			want = append(want, p)
		}
		r.Reset(&source{t, log, end}, "test.log", read, end)
		for {
			p, to, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil || !bytes.Equal(p, want[0]) {
				t.Fatalf("at %d: got %d bytes, %v, want %d", read, len(p), err, len(want[0]))
			}
			want, read = want[1:], to
		}
		if len(want) > 0 || read != end || r.Torn() {
			t.Fatalf("%d records left at %d of %d, torn %v", len(want), read, end, r.Torn())
		}
	}
}

type failing struct {
	log []byte
	bad int64
}

var errDisk = errors.New("disk on fire")

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.bad {
		return 0, errDisk
	}
	return copy(p, f.log[off:]), nil
}

func TestReaderSourceFails(t *testing.T) {
	log, _ := logOf(wal.BlockSize-7, wal.BlockSize-7, 10)
	r := wal.NewReader(failing{log, wal.BlockSize}, "test.log", 0, -1)
	if _, _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, end, err := r.Next(); err != errDisk || end != wal.BlockSize || r.Torn() {
			t.Errorf("got %d, %v, torn %v", end, err, r.Torn())
		}
	}
	// Whether damage is a torn tail cannot be known if the rest cannot be read.
	log[100]++
	r.Reset(failing{log, wal.BlockSize}, "test.log", 0, -1)
	if _, _, err := r.Next(); err != errDisk {
		t.Error(err)
	}
}

// Random damage to logs of all sorts of records.
func TestReaderSameAsLevelDB(t *testing.T) {
	rounds := 3000
	if testing.Short() {
		rounds = 300
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for round := range rounds {
		var log []byte
		for range rnd.IntN(20) {
			log = wal.AppendRecord(log, int64(len(log)), payload(rnd.IntN(1<<rnd.IntN(17))))
		}
		log = append(log, make([]byte, rnd.IntN(1<<rnd.IntN(17)))...)
		for range rnd.IntN(4) {
			if len(log) == 0 {
				break
			}
			at := rnd.IntN(len(log))
			switch rnd.IntN(4) {
			case 0:
				log[at] ^= 1 << rnd.IntN(8)
			case 1:
				clear(log[at:min(len(log), at+rnd.IntN(1<<rnd.IntN(17)))])
			case 2:
				log = log[:at]
			case 3: // a block comes from elsewhere
				from := rnd.IntN(len(log))
				copy(log[at&^(wal.BlockSize-1):], log[from&^(wal.BlockSize-1):])
			}
		}
		got, want := readAll(t, log, 0, -1), levelDBRecords(log, 0)
		if !slices.EqualFunc(got.records, want, bytes.Equal) {
			t.Fatalf("round %d: LevelDB would read %d records, got\n%v", round, len(want), got)
		}
	}
}

func TestReaderAllocs(t *testing.T) {
	var log []byte
	for len(log) < 1<<20 {
		n := 130
		if left := wal.BlockSize - len(log)%wal.BlockSize; left < 2*(n+7) {
			n = left - 7 // to the end of the block
		}
		log = wal.AppendRecord(log, int64(len(log)), payload(n))
	}
	r := wal.NewReader(bytes.NewReader(log), "test.log", 0, -1)
	if _, _, err := r.Next(); err != nil { // the block buffer
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(7000, func() {
		if _, _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkNext(b *testing.B) {
	var log []byte
	p := payload(130)
	for len(log) < 4<<20 {
		log = wal.AppendRecord(log, int64(len(log)), p)
	}
	src := bytes.NewReader(log)
	r := wal.NewReader(src, "test.log", 0, -1)
	b.ReportAllocs()
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		if _, _, err := r.Next(); err != nil {
			r.Reset(src, "test.log", 0, -1)
		}
	}
}

// A member that follows a log reads a record at a time.
func BenchmarkFollow(b *testing.B) {
	log, ends := logOf(130, 130)
	src := bytes.NewReader(log)
	var r wal.Reader
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(src, "test.log", ends[0], ends[1])
		if _, _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

// The most that a damaged block can cost: every byte may begin a long record.
func BenchmarkDamage(b *testing.B) {
	log := bytes.Repeat([]byte{1, 0x3f}, wal.BlockSize/2)
	src := bytes.NewReader(log)
	var r wal.Reader
	for b.Loop() {
		r.Reset(src, "test.log", 0, -1)
		if _, _, err := r.Next(); err != io.EOF {
			b.Fatal(err)
		}
	}
}
