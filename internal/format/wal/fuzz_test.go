package wal_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/wal"
)

// FuzzReader reads any bytes as a log, and writes them as records and reads
// those back. The log begins at offset and has a hole, so that little input
// makes logs of many blocks: the fuzzer is slow with long ones.
func FuzzReader(f *testing.F) {
	const block = wal.BlockSize
	at := func(offset int64, lengths ...int) (log []byte) {
		for _, n := range lengths {
			log = wal.AppendRecord(log, offset+int64(len(log)), payload(n))
		}
		return log
	}
	f.Add([]byte{}, uint32(0), []byte{}, uint32(0), int64(-1), byte(0), uint16(0))
	f.Add(at(0, 10, 0, 50), uint32(block-81), at(0, 20), uint32(0), int64(-1), byte(0), uint16(10))
	f.Add(at(block-40, 10, 30, 5), uint32(3*block), []byte{}, uint32(block-40), int64(block+10), byte(1), uint16(block))
	f.Add(at(block-7, 10), uint32(block-17), at(0, 20, 1), uint32(block-7), int64(-1), byte(2), uint16(1))
	f.Add(at(block-30, 50)[:40], uint32(70_000), at(5, 3), uint32(block-30), int64(-1), byte(3), uint16(3))
	f.Add([]byte{1, 2, 3, 4, 5, 0, 9, 8, 9, 10, 11, 12}, uint32(20), []byte("abc"), uint32(5*block-5), int64(5*block+20), byte(1), uint16(4))
	f.Fuzz(func(t *testing.T, before []byte, hole uint32, behind []byte, offset uint32, limit int64, mend byte, piece uint16) {
		offset, hole = offset%(2*block), hole%(4*block)
		if limit > 0 {
			limit %= 8 * block
		}
		log := append(make([]byte, offset), before...)
		log = append(log, make([]byte, hole)...)
		log = append(log, behind...)
		if mend&1 != 0 {
			mendChecksums(log, int(offset))
		}
		if mend&2 != 0 {
			mendChecksums(log, int(offset)+len(before)+int(hole))
		}
		cut := log
		if limit >= 0 {
			cut = log[:min(limit, int64(len(log)))]
		}
		got := readAll(t, log, int64(offset), limit)
		if want := levelDBRecords(cut, int(offset)); !slices.EqualFunc(got.records, want, bytes.Equal) {
			t.Fatalf("LevelDB would read %d records, got\n%v", len(want), got)
		}

		payloads := [][]byte{before, make([]byte, hole)}
		for p := range slices.Chunk(behind, 1+int(piece)) {
			payloads = append(payloads, p)
		}
		log = make([]byte, offset)
		for _, p := range payloads {
			log = wal.AppendRecord(log, int64(len(log)), p)
		}
		end := int64(len(log))
		log = append(log, make([]byte, hole)...)
		for _, limit := range []int64{-1, end} {
			got := readAll(t, log, int64(offset), limit)
			if !slices.EqualFunc(got.records, payloads, bytes.Equal) || got.end != end || got.torn || got.damage != nil {
				t.Fatalf("wrote %d records to %d, read\n%v", len(payloads), end, got)
			}
		}
	})
}

// mendChecksums puts right, as far as the fragments from offset on can be
// followed, what the fuzzer cannot find. Those that begin with 0xff stay wrong.
func mendChecksums(log []byte, offset int) {
	for offset+7 <= len(log) {
		left := min(wal.BlockSize-offset%wal.BlockSize, len(log)-offset)
		if left < 7 {
			offset += left
			continue
		}
		f := log[offset:]
		n := 7 + int(f[4]) + int(f[5])<<8
		if n > left || n == 7 && f[6] == 0 {
			return
		}
		if f[0] != 0xff {
			binary.LittleEndian.PutUint32(f, format.Checksum(f[6:n]))
		}
		offset += n
	}
}
