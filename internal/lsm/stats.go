package lsm

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/store"
)

// The counters of a member in the control block: all others can read them, and
// they go with it. See coord.Control.Count.
const (
	countSnapshots = iota // alive
	countIterators        // alive
	countPaused           // writes that wait for the leader now
	countDelays           // writes that were slowed down or waited for the leader
	countDelayed          // ns that they waited
	countWritten          // bytes written to logs, tables and manifests
	countOpen             // open tables
	countGets             // keys looked for
	countWrites           // writes: groups of batches that were committed together
	countRecords          // puts and deletes in them
)

// Member is one member and what it has done since it joined.
type Member struct {
	coord.Member
	Gets, Writes, Records, WrittenBytes uint64
	Snapshots, Iterators                uint64 // alive
	Behind                              uint64 // versions since the oldest that it reads
}

// Members returns all members.
func (db *DB) Members() []Member {
	version := db.ctl.State().Version
	var all []Member
	for _, m := range db.ctl.Members() {
		c := &m.Counters
		all = append(all, Member{
			Member: m, Gets: c[countGets], Writes: c[countWrites], Records: c[countRecords], WrittenBytes: c[countWritten],
			Snapshots: c[countSnapshots], Iterators: c[countIterators], Behind: version - min(m.Pin, version),
		})
	}
	return all
}

// count adds n to one of the handle's counters.
func (db *DB) count(counter int, n int64) {
	if !db.closed.Load() { // else the slot may be another member's
		db.ctl.Count(counter, uint64(n))
	}
}

// counted returns the sum of a counter over the members there are.
func (db *DB) counted(counter int) (sum int64) {
	for _, m := range db.ctl.Members() {
		sum += int64(m.Counters[counter])
	}
	return sum
}

// delay counts a write that waits from now on, until end is called.
func (db *DB) delay() (end func()) {
	start := time.Now()
	return func() {
		db.count(countDelays, 1)
		db.count(countDelayed, int64(time.Since(start)))
	}
}

// pause is delay for a write that waits for the leader.
func (db *DB) pause() (end func()) {
	delayed := db.delay()
	db.count(countPaused, 1)
	return func() {
		db.count(countPaused, -1)
		delayed()
	}
}

// stats count what this handle did as the leader.
type stats struct {
	flushes  atomic.Int64 // memtables that became tables
	level0   atomic.Int64 // compactions of level 0
	others   atomic.Int64 // compactions of another level for its size, or that were asked for
	vain     atomic.Int64 // compactions of tables that were looked into in vain
	perLevel [numLevels]levelStats
}

// levelStats count the work that made the tables of a level.
type levelStats struct {
	read, wrote, nanos atomic.Int64
}

func (l *levelStats) add(read, wrote uint64, took time.Duration) {
	l.read.Add(int64(read))
	l.wrote.Add(int64(wrote))
	l.nanos.Add(int64(took))
}

// flushed counts a table made of a memtable.
func (s *stats) flushed(wrote uint64, took time.Duration) {
	s.flushes.Add(1)
	s.perLevel[0].add(0, wrote, took)
}

// compacted counts a compaction that wrote tables.
func (s *stats) compacted(c *compaction, wrote uint64, took time.Duration) {
	switch {
	case c.why == inVain:
		s.vain.Add(1)
	case c.level == 0:
		s.level0.Add(1)
	default:
		s.others.Add(1)
	}
	s.perLevel[c.level+1].add(size(c.inputs[0])+size(c.inputs[1]), wrote, took)
}

// read returns how many bytes compactions have read.
func (s *stats) read() (n int64) {
	for i := range s.perLevel {
		n += s.perLevel[i].read.Load()
	}
	return n
}

// Level is one level of the tree of tables.
type Level struct {
	Tables int
	Bytes  int64
}

// Levels returns the tree's levels.
func (db *DB) Levels() ([]Level, error) {
	v, _, err := db.hold(nil)
	if err != nil {
		return nil, err
	}
	defer v.release()
	levels := make([]Level, numLevels)
	for i, files := range v.version.levels {
		levels[i] = Level{len(files), int64(size(files))}
	}
	return levels, nil
}

// ApproximateSize returns how many bytes the tables of b take, roughly.
func (db *DB) ApproximateSize(b store.Bounds) (int64, error) {
	v, _, err := db.hold(nil)
	if err != nil || b.Empty() {
		if err == nil {
			v.release()
		}
		return 0, err
	}
	defer v.release()
	total := int64(0)
	v.version.files(func(_ int, f *file) {
		if err != nil {
			return
		}
		from, to := int64(0), int64(f.Size)
		if b.Lower != nil {
			from, err = db.offset(f, b.Lower)
		}
		if b.Upper != nil && err == nil {
			to, err = db.offset(f, b.Upper)
		}
		total += max(to-from, 0)
	})
	return total, err
}

// offset returns about where in a table key would be.
func (db *DB) offset(f *file, key []byte) (int64, error) {
	ikey := format.AppendInternalKey(nil, key, format.MaxSeqNum, format.KindPut)
	switch {
	case format.CompareInternal(ikey, f.Smallest) <= 0:
		return 0, nil
	case format.CompareInternal(ikey, f.Largest) > 0:
		return int64(f.Size), nil
	}
	t, err := db.tables.get(f)
	if err != nil {
		return 0, err
	}
	defer t.unref()
	return int64(t.ApproximateOffset(ikey)), nil
}

// PropertyNames are the names that Property knows. N stands for a level.
var PropertyNames = []string{
	"leveldb.num-files-at-level{N}", "leveldb.stats", "leveldb.iostats", "leveldb.compcount", "leveldb.writedelay",
	"leveldb.sstables", "leveldb.approximate-memory-usage", "leveldb.cachedblock", "leveldb.openedtables",
	"leveldb.alivesnaps", "leveldb.aliveiters",
}

// Property returns a property as text; a name it does not know is ErrNotFound.
// The texts are those of goleveldb, which programs parse. Work on tables is that
// of this handle, since it was opened, so that the leader is to be asked. The
// cache is its own, too; the rest is counted over all members. Of what is read
// from disk only the share of the compactions is known: tables are mapped.
func (db *DB) Property(name string) (string, error) {
	v, _, err := db.hold(nil)
	if err != nil {
		return "", err
	}
	defer v.release()
	name, ok := strings.CutPrefix(name, "leveldb.")
	if !ok {
		return "", ErrNotFound
	}
	if level, ok := strings.CutPrefix(name, "num-files-at-level"); ok {
		n, err := strconv.ParseUint(level, 10, 8)
		if err != nil || n >= numLevels {
			return "", ErrNotFound
		}
		return strconv.Itoa(len(v.version.levels[n])), nil
	}
	s := &db.stats
	switch name {
	case "stats":
		return s.table(v.version), nil
	case "iostats":
		return fmt.Sprintf("Read(MB):%.5f Write(MB):%.5f", mebibytes(s.read()), mebibytes(db.counted(countWritten))), nil
	case "compcount":
		return fmt.Sprintf("MemComp:%d Level0Comp:%d NonLevel0Comp:%d SeekComp:%d",
			s.flushes.Load(), s.level0.Load(), s.others.Load(), s.vain.Load()), nil
	case "writedelay":
		return fmt.Sprintf("DelayN:%d Delay:%s Paused:%t",
			db.counted(countDelays), time.Duration(db.counted(countDelayed)), db.counted(countPaused) > 0), nil
	case "sstables":
		var b strings.Builder
		for i, files := range v.version.levels {
			fmt.Fprintf(&b, "--- level %d ---\n", i)
			for _, f := range files {
				fmt.Fprintf(&b, " %d:%d[%q .. %q]\n", f.Num, f.Size, f.smallest(), f.largest())
			}
		}
		return b.String(), nil
	case "approximate-memory-usage":
		n := len(v.mem.arena) + db.cached()
		if v.imm != nil {
			n += len(v.imm.arena)
		}
		return strconv.Itoa(n), nil
	case "cachedblock":
		return strconv.Itoa(db.cached()), nil
	case "openedtables":
		return strconv.FormatInt(db.counted(countOpen), 10), nil
	case "alivesnaps":
		return strconv.FormatInt(db.counted(countSnapshots), 10), nil
	case "aliveiters":
		return strconv.FormatInt(db.counted(countIterators), 10), nil
	}
	return "", ErrNotFound
}

const levelLine = "-------+------------+---------------+---------------+---------------+---------------\n"

// table returns the levels of v that have tables or had work done, a line each.
func (s *stats) table(v *version) string {
	var b strings.Builder
	b.WriteString("Compactions\n" +
		" Level |   Tables   |    Size(MB)   |    Time(sec)  |    Read(MB)   |   Write(MB)\n" + levelLine)
	line := func(name string, tables int, size, nanos, read, wrote int64) {
		fmt.Fprintf(&b, "%s | %10d | %13.5f | %13.5f | %13.5f | %13.5f\n", name, tables, mebibytes(size),
			time.Duration(nanos).Seconds(), mebibytes(read), mebibytes(wrote))
	}
	var tables int
	var bytes, nanos, read, wrote int64
	for i := range s.perLevel {
		l, files := &s.perLevel[i], v.levels[i]
		n, r, w := l.nanos.Load(), l.read.Load(), l.wrote.Load()
		if len(files) == 0 && n == 0 {
			continue
		}
		line(fmt.Sprintf(" %3d  ", i), len(files), int64(size(files)), n, r, w)
		tables += len(files)
		bytes += int64(size(files))
		nanos, read, wrote = nanos+n, read+r, wrote+w
	}
	b.WriteString(levelLine)
	line(" Total", tables, bytes, nanos, read, wrote)
	return b.String()
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// cached returns the size of the cache of blocks.
func (db *DB) cached() int {
	if db.tables.cache == nil {
		return 0
	}
	return db.tables.cache.Size()
}

// note counts tables that were opened or, if n is negative, closed.
func (ts *tables) note(n int64) {
	if ts.opened != nil {
		ts.opened(n)
	}
}
