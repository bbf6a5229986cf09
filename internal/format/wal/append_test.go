package wal_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/levelparty/party/internal/format/wal"
)

func TestAppendRecord(t *testing.T) {
	const block = wal.BlockSize
	for _, offset := range []int64{0, 1, 1000, block - 50, block - 14, block - 9, block - 8, block - 7, block - 6, block - 1, block, 5*block - 7, 5*block - 3} {
		for _, n := range []int{0, 1, 2, 7, 43, 44, 1000, block - 8, block - 7, block - 6, block, 2*block - 14, 2*block - 13, 100_000} {
			log := wal.AppendRecord([]byte("before"), offset, payload(n))[len("before"):]
			if got := wal.EncodedLen(offset, n); got != int64(len(log)) {
				t.Errorf("%d bytes at %d: EncodedLen %d, appended %d", n, offset, got, len(log))
			}
			file := append(make([]byte, offset), log...)
			got := readAll(t, file, offset, -1)
			if len(got.records) != 1 || !bytes.Equal(got.records[0], payload(n)) || got.end != int64(len(file)) || got.torn || got.damage != nil {
				t.Errorf("%d bytes at %d read back as\n%v", n, offset, got)
			}
		}
	}
}

// goleveldb writes the same bytes.
func TestAppendRecordBytes(t *testing.T) {
	for _, c := range []struct {
		name    string
		offset  int64
		payload string
		want    string
	}{
		{"empty", 0, "", "052b2843" + "0000" + "01"},
		{"full", 0, "foo", "dd5fb37a" + "0300" + "01" + "666f6f"},
		{"trailer", wal.BlockSize - 6, "foo", "000000000000" + "dd5fb37a" + "0300" + "01" + "666f6f"},
		{"empty first", wal.BlockSize - 7, "foo", "6451d0e9" + "0000" + "02" + "a2242a91" + "0300" + "04" + "666f6f"},
		{"first and last", wal.BlockSize - 8, "foo", "5e0df009" + "0100" + "02" + "66" + "ed373eb2" + "0200" + "04" + "6f6f"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := hex.EncodeToString(wal.AppendRecord(nil, c.offset, []byte(c.payload)))
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAppendRecordAllocs(t *testing.T) {
	buf, p := make([]byte, 0, 1<<10), payload(130)
	offset := int64(wal.BlockSize - 3000)
	if n := testing.AllocsPerRun(100, func() {
		buf = wal.AppendRecord(buf[:0], offset, p)
		offset += int64(len(buf))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { wal.AppendRecord(nil, 100, payload(0)) }); n != 1 {
		t.Errorf("%v allocations without room", n)
	}
}

func BenchmarkAppendRecord(b *testing.B) {
	buf, p := make([]byte, 0, 1<<10), payload(130)
	offset := int64(0)
	b.ReportAllocs()
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		buf = wal.AppendRecord(buf[:0], offset, p)
		offset += int64(len(buf))
	}
}
