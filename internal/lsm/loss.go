package lsm

import (
	"encoding/binary"
	"io"
	"math"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/manifest"
	"github.com/levelparty/party/internal/format/wal"
)

// After a loss of power what is left of the writes that were not synced must be
// a beginning of them. But a disk writes the sectors of a file, and the files
// of a directory, in any order: behind a hole in a log, or in the log behind
// one whose end is missing, there can be whole records. LevelDB takes them for
// good. Recovery stops at the hole, and cuts off what is behind it.
//
// To sync the older log before the newer one is begun would save half of that,
// but would make writers wait for the disk at every rotation.
//
// Damage that happens later, to what was synced, must not make it drop the
// synced records behind. Two things tell them apart.
//
// A log, and the manifest, is only ever appended to, and what is cut off is
// synced to be gone before more is appended. So what was lost reads as zeros,
// from one boundary of a sector or to the next, or is behind the end of the
// file; and nothing behind it was ever synced, since that would have synced it
// too: see syncLogs. Damage of another kind is left out, and reading goes on, as
// in LevelDB.
//
// Others do not sync the log before the one they sync. Their logs are read as
// LevelDB reads them, become tables, and the manifest is written anew: see
// ownManifest.

const (
	logHeaderLen = 7   // of a fragment: checksum, length, kind
	sectorLen    = 512 // what a disk writes at once
	wordLen      = 64  // of a sector that was torn, what survives as a whole
)

// Kinds of fragments. Part of the format, never change.
const (
	fragmentNone   = 0
	fragmentFirst  = 2
	fragmentMiddle = 3
)

// lostAt reports whether the record that should stand at offset, in a log or a
// manifest, was lost with the power, and where what was lost would end, as far
// as that is known.
func lostAt(f io.ReaderAt, offset int64) (lost bool, end int64, err error) {
	block := make([]byte, wal.BlockSize)
	for {
		left := wal.BlockSize - offset%wal.BlockSize
		if left < logHeaderLen {
			offset += left
			continue
		}
		n, err := f.ReadAt(block[:left], offset)
		if err != nil && err != io.EOF {
			return false, 0, err
		}
		b := block[:n]
		if n < logHeaderLen || b[6] == fragmentNone && hasHole(b[:logHeaderLen], offset) {
			return true, math.MaxInt64, nil
		}
		size := logHeaderLen + int(binary.LittleEndian.Uint16(b[4:]))
		kind := b[6]
		switch {
		case int64(size) > left:
			return hasHole(b[:logHeaderLen], offset), math.MaxInt64, nil
		case size > n:
			return true, offset + int64(size), nil
		case binary.LittleEndian.Uint32(b) != format.Checksum(b[6:size]):
			return hasHole(b[:size], offset), offset + int64(size), nil
		case kind != fragmentFirst && kind != fragmentMiddle:
			return false, offset + int64(size), nil
		}
		offset += int64(size)
	}
}

// lastLost is lostAt for the last record alone: nothing stands behind it.
func lastLost(f io.ReaderAt, offset int64) (bool, error) {
	lost, end, err := lostAt(f, offset)
	if err != nil || !lost || end == math.MaxInt64 {
		return lost, err
	}
	if n, err := f.ReadAt(make([]byte, 1), end); n > 0 || err != io.EOF {
		return false, err
	}
	return true, nil
}

// hasHole reports whether a part of b, which stands at offset in a file, can
// have been lost: is zeros from a boundary of a sector, or to one.
func hasHole(b []byte, offset int64) bool {
	for len(b) > 0 {
		n := min(len(b), int(sectorLen-offset%sectorLen))
		piece := b[:n]
		head := min(n, int(wordLen-offset%wordLen))
		tail := max(0, n-int((offset+int64(n)-1)%wordLen+1))
		if allZeros(piece[:head]) || allZeros(piece[tail:]) {
			return true
		}
		b, offset = b[n:], offset+int64(n)
	}
	return false
}

func allZeros(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// ownManifest reports whether a manifest that begins with e is one of ours, and
// so the logs that it does not call unnecessary are. Other LevelDBs begin a
// manifest of their own when they open a database, and none says all this in
// its first edit: C++ LevelDB leaves the numbers to the second, goleveldb says
// nothing of a previous log.
func ownManifest(e *manifest.Edit) bool {
	return e.HasComparator && e.HasLogNumber && e.HasPrevLogNumber && e.HasNextFile && e.HasLastSeq
}
