package sstable_test

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/sstable"
)

// golden is a whole table, byte by byte; docs/format.md shows it. What is
// behind # explains.
const golden = `
00 0d 03  6170706c65 0103000000000000 726564        # 0: data block; shares 0, "apple", seq 3 put, "red"
02 0d 00  7269636f74 0002000000000000               # shares 2, "(ap)ricot", seq 2 delete
07 08 06  01 01000000000000 6f72616e6765            # shares 7, only the trailer differs: seq 1 put, "orange"
00000000 01000000                                   # one restart point, at 0
00 ce9b3d65                                         # stored as it is; checksum
40050000a002c00f 06                                 # 65: filter block; 64 bits, 6 for each key
00000000 09000000 0b                                # filter 0 at 0, offsets at 9, one filter for 2^11 bytes
00 f6a0a3d3
00 22 02  66696c7465722e6c6576656c64622e4275696c74  # 88: metaindex block; "filter.leveldb.Built
          696e426c6f6f6d46696c74657232              # inBloomFilter2"
41 12                                               # at 65, 18 bytes
00000000 01000000
00 87c47b02
00 09 02  62 01ffffffffffffff                       # 140: index block; "b" is behind all keys
00 3c                                               # at 0, 60 bytes
00000000 01000000
00 8dae2f62
58 2f  8c01 16                                      # footer; metaindex at 88, 47 bytes, index at 140, 22 bytes
0000000000000000000000000000000000000000000000000000000000000000000000
57fb808b247547db                                    # magic number
`

// bytesOf reads hexadecimal lines with comments.
func bytesOf(t *testing.T, text string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGolden(t *testing.T) {
	entries := []entry{
		{ikey("apple", 3, format.KindPut), []byte("red")},
		{ikey("apricot", 2, format.KindDelete), nil},
		{ikey("apricot", 1, format.KindPut), []byte("orange")},
	}
	want := bytesOf(t, golden)
	got := write(t, sstable.WriterOptions{}, entries)
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%swant\n%s", hex.Dump(got), hex.Dump(want))
	}
	if their := theirTable(t, sstable.WriterOptions{BloomBits: 10}, entries); !bytes.Equal(their, want) {
		t.Errorf("goleveldb makes\n%s", hex.Dump(their))
	}
	r := open(t, mapped(want), len(want), sstable.ReaderOptions{VerifyChecksums: true})
	checkTable(t, r, r.NewIter(), entries, rand.New(rand.NewPCG(1, 1)))
}
