package goleveldb

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/levelparty/party"
)

// Stats fills s with what the leader tells of its database, whatever process it
// is. It counts for all processes, and from the time when it began to lead.
//
// It tells of bytes read and written, in IORead, IOWrite, LevelRead and
// LevelWrite, in hundred-thousandths of a mebibyte, about ten bytes. IORead is
// what compactions have read: other reads are of mapped files, and nobody
// counts them. It does not tell of its caches: FileCache and BlockCache are
// zero. BlockCacheSize is that of the blocks that had to be uncompressed.
func (db *DB) Stats(s *DBStats) error {
	if err := db.ok(); err != nil {
		return err
	}
	return db.failure(db.stats(s))
}

func (db *DB) stats(s *DBStats) error {
	status, err := db.party.Status(db.ctx)
	if err != nil {
		return err
	}
	texts := make(map[string]string)
	for _, name := range []string{
		"stats", "iostats", "writedelay", "compcount", "cachedblock", "openedtables", "alivesnaps", "aliveiters",
	} {
		text, err := db.party.Property(db.ctx, "leveldb."+name)
		if err != nil && !errors.Is(err, party.ErrNotFound) {
			return err
		}
		texts[name] = text
	}

	// goleveldb lets programs use the slices again.
	*s = DBStats{
		LevelSizes:        s.LevelSizes[:0],
		LevelTablesCounts: s.LevelTablesCounts[:0],
		LevelRead:         s.LevelRead[:0],
		LevelWrite:        s.LevelWrite[:0],
		LevelDurations:    s.LevelDurations[:0],
	}
	for _, l := range status.Levels {
		s.LevelSizes = append(s.LevelSizes, l.Bytes)
		s.LevelTablesCounts = append(s.LevelTablesCounts, l.Tables)
		s.LevelRead = append(s.LevelRead, 0)
		s.LevelWrite = append(s.LevelWrite, 0)
		s.LevelDurations = append(s.LevelDurations, 0)
	}
	// What a leader of another version does not have, or words otherwise, stays
	// zero.
	scanLevels(s, texts["stats"])
	var read, written float64
	if n, _ := fmt.Sscanf(texts["iostats"], "Read(MB):%f Write(MB):%f", &read, &written); n == 2 {
		s.IORead, s.IOWrite = uint64(mebibytes(read)), uint64(mebibytes(written))
	}
	var delay string
	fmt.Sscanf(texts["writedelay"], "DelayN:%d Delay:%s Paused:%t", &s.WriteDelayCount, &delay, &s.WritePaused)
	s.WriteDelayDuration, _ = time.ParseDuration(delay)
	fmt.Sscanf(texts["compcount"], "MemComp:%d Level0Comp:%d NonLevel0Comp:%d SeekComp:%d",
		&s.MemComp, &s.Level0Comp, &s.NonLevel0Comp, &s.SeekComp)
	s.BlockCacheSize, _ = strconv.Atoi(texts["cachedblock"])
	s.OpenedTablesCount, _ = strconv.Atoi(texts["openedtables"])
	fmt.Sscan(texts["alivesnaps"], &s.AliveSnapshots)
	fmt.Sscan(texts["aliveiters"], &s.AliveIterators)
	return nil
}

// scanLevels reads from the property leveldb.stats, which goleveldb has too, what
// Status does not tell:
//
//	 Level |   Tables   |    Size(MB)   |    Time(sec)  |    Read(MB)   |   Write(MB)
//	-------+------------+---------------+---------------+---------------+---------------
//	   0   |          1 |       0.00021 |       0.00150 |       0.00000 |       0.00021
//
// Levels without tables that were never compacted have no line.
func scanLevels(s *DBStats, text string) {
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			continue
		}
		level, err := strconv.Atoi(strings.TrimSpace(cells[0]))
		if err != nil || level < 0 || level >= len(s.LevelSizes) {
			continue // a heading, the total, or a level made since Status
		}
		number := func(i int) float64 {
			n, _ := strconv.ParseFloat(strings.TrimSpace(cells[i]), 64)
			return n
		}
		s.LevelDurations[level] = time.Duration(math.Round(number(3) * float64(time.Second)))
		s.LevelRead[level] = mebibytes(number(4))
		s.LevelWrite[level] = mebibytes(number(5))
	}
}

func mebibytes(n float64) int64 { return int64(math.Round(n * (1 << 20))) }
