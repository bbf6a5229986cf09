package lsm

import (
	"bytes"
	"slices"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/wal"
	"github.com/levelparty/party/internal/vfs"
)

// A log is read record by record, those too that recovery drops because they
// stand in a block with something damaged: see wal.Salvage. Where their
// beginning had to be looked for they count only if their sequence numbers fit
// between those around them.
//
// Of a log's entries those become a table that are newer than what all tables
// have of the key. So it does not matter if a log is in tables already, and the
// table belongs on top.

// logSource is a log.
type logSource struct {
	num         format.FileNum
	name        string
	used        bool
	damaged     bool
	first, last format.SeqNum // 0: no writes
	records     int64
	lost        []Loss
}

// readLogs finds out what the logs hold, and which of them count: those that
// the manifest calls necessary or, if it cannot be relied on, all. If something
// of the tables is lost, the logs before help, too, of which a leader keeps some:
// as far as they follow each other without a gap up to the last write, so that no
// deletion is missing.
func (r *repairer) readLogs() error {
	if r.trusted {
		for _, s := range r.tables {
			r.floor = max(r.floor, s.highest)
		}
	}
	for _, num := range numbers(r.files.logs) {
		l := &logSource{num: num, name: r.files.logs[num]}
		l.used = !r.trusted || r.old.needs(num)
		if err := r.replay(l, nil); err != nil {
			return err
		}
		r.logs = append(r.logs, l)
	}
	if r.trusted && r.old.lacksLog(r.files) {
		r.lose(format.LogName(r.old.logNumber), -1, -1, -1, "is missing")
	}
	if len(r.report.Lost) > 0 {
		next := format.SeqNum(0)
		for _, l := range slices.Backward(r.logs) {
			if l.damaged || l.last != 0 && next != 0 && l.last+1 != next {
				break
			}
			l.used = true
			if l.first != 0 {
				next = l.first
			}
		}
	}
	for _, l := range r.logs {
		if !l.used {
			l.damaged = false // nobody needs it
			continue
		}
		r.report.Lost = append(r.report.Lost, l.lost...)
		r.lastSeq = max(r.lastSeq, l.last)
		if l.records > 0 {
			r.report.Logs++
			r.report.LogRecords += l.records
		}
	}
	return nil
}

// doubt is a batch that may be none: see wal.Salvaged.
type doubt struct {
	seq        format.SeqNum
	count      int
	records    []byte
	begin, end int64
}

// replay visits the batches of a log, or only notes in l what it holds if visit
// is nil.
func (r *repairer) replay(l *logSource, visit func(seq format.SeqNum, records []byte) error) error {
	f, err := vfs.OS.Open(r.path(l.name))
	if err != nil {
		return err
	}
	defer f.Close()
	*l = logSource{num: l.num, name: l.name, used: l.used}
	// What is not in tables is newer than what is.
	above := format.SeqNum(0)
	if r.trusted && r.old.needs(l.num) {
		above = r.floor
	}
	var doubts []doubt
	var hole Loss // since the last batch
	inHole, bytesLost := false, int64(0)
	lost := func(begin, end int64, reason string) {
		if !inHole {
			hole = Loss{Fault{l.name, begin, reason}, 0, -1}
		}
		inHole, l.damaged = true, true
		hole.Bytes += end - begin
		bytesLost += end - begin
	}
	fill := func(seq format.SeqNum) {
		if gap := int64(seq) - int64(l.last) - 1; l.last != 0 && gap > 0 && seq != 0 {
			if !inHole {
				l.damaged = true
				hole = Loss{Fault{l.name, -1, "writes are missing"}, 0, 0}
				inHole = true
			}
			hole.Entries = gap
		}
		if inHole {
			l.lost = append(l.lost, hole)
		}
		inHole = false
	}
	take := func(d doubt) error {
		fill(d.seq)
		if d.count > 0 {
			if l.first == 0 {
				l.first = d.seq
			}
			l.last = max(l.last, d.seq+format.SeqNum(d.count)-1)
			l.records += int64(d.count)
			if visit != nil {
				return visit(d.seq, d.records)
			}
		}
		return nil
	}
	// settle decides on what is in doubt, before a write that is not, or at the
	// end.
	settle := func(before format.SeqNum) error {
		for _, d := range doubts {
			// Each byte that is lost was part of one write at most.
			low := max(l.last, above)
			fits := d.seq > low && d.seq+format.SeqNum(d.count)-1 < before && (low == 0 || int64(d.seq-low-1) <= bytesLost)
			if !fits {
				lost(d.begin, d.end, "what looks like a write that others come before and after")
				continue
			}
			if err := take(d); err != nil {
				return err
			}
		}
		doubts = nil
		return nil
	}
	err = wal.Salvage(f, func(s wal.Salvaged) error {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		seq, count, records, err := parseBatch(s.Payload)
		if err != nil {
			lost(s.Begin, s.End, reasonOf(err))
			return nil
		}
		d := doubt{seq, count, records, s.Begin, s.End}
		if s.Doubtful {
			d.records = bytes.Clone(records)
			doubts = append(doubts, d)
			return nil
		}
		if err := settle(seq); err != nil {
			return err
		}
		return take(d)
	}, func(begin, end int64, reason string) {
		lost(begin, end, reason)
	})
	if err == nil {
		err = settle(format.MaxSeqNum + 1)
	}
	fill(0)
	return err
}

// maxChunk is how much of a log becomes one table, about, in bytes.
const maxChunk = 64 << 20

// writeLogs makes tables of the logs.
func (r *repairer) writeLogs() error {
	type entry struct{ key, value []byte }
	for _, l := range r.logs {
		if !l.used {
			continue
		}
		var chunk []entry
		size := 0
		flush := func() error {
			slices.SortStableFunc(chunk, func(a, b entry) int { return format.CompareInternal(a.key, b.key) })
			var t *tableFile
			var user []byte
			for i, e := range chunk {
				if i > 0 && bytes.Equal(user, format.UserKey(e.key)) {
					continue // the newest is there
				}
				user = format.UserKey(e.key)
				newest, err := r.newest(user)
				if err == nil && newest < format.KeySeq(e.key) {
					if t == nil {
						t, err = r.newTable(r.newNumber())
					}
					if err == nil {
						err = t.add(e.key, e.value)
					}
				}
				if err != nil {
					if t != nil {
						err = t.abandon(err)
					}
					return err
				}
			}
			chunk, size = nil, 0
			if t == nil {
				return nil
			}
			s, err := r.finish(t)
			if err == nil {
				r.levels[0] = slices.Insert(r.levels[0], 0, s)
			}
			return err
		}
		copied := *l
		err := r.replay(&copied, func(seq format.SeqNum, records []byte) error {
			for ; len(records) > 0; seq++ {
				rec, rest, err := format.NextRecord(records)
				if err != nil {
					return err
				}
				records = rest
				kind := format.KindPut
				if rec.Delete {
					kind = format.KindDelete
				}
				chunk = append(chunk, entry{format.AppendInternalKey(nil, rec.Key, seq, kind), bytes.Clone(rec.Value)})
				size += len(rec.Key) + len(rec.Value) + 100
			}
			if size > maxChunk {
				return flush()
			}
			return nil
		})
		if err == nil {
			err = flush()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// finish gives a new table its name.
func (r *repairer) finish(t *tableFile) (*source, error) {
	meta, err := t.finish()
	if err != nil {
		return nil, err
	}
	name := format.TableName(meta.Num)
	return &source{file: newFile(*meta), name: name}, r.place(t.path, name)
}

// newest returns the sequence number of the newest entry that tables have of a
// key, 0 if there is none.
func (r *repairer) newest(user []byte) (newest format.SeqNum, err error) {
	seek := format.AppendInternalKey(nil, user, format.MaxSeqNum, format.KindPut)
	look := func(s *source) error {
		if bytes.Compare(user, s.smallest()) < 0 || bytes.Compare(user, s.largest()) > 0 {
			return nil
		}
		it, err := r.db.newTableIter(s.file, false)
		if err != nil {
			return err
		}
		defer it.Close()
		if it.table.MayContain(user) && it.SeekGE(seek) && bytes.Equal(format.UserKey(it.Key()), user) {
			newest = max(newest, format.KeySeq(it.Key()))
		}
		return it.Err()
	}
	for level, sources := range r.levels {
		if level > 0 {
			i, _ := slices.BinarySearchFunc(sources, user, func(s *source, user []byte) int { return bytes.Compare(s.largest(), user) })
			sources = sources[i:min(i+1, len(sources))]
		}
		for _, s := range sources {
			if err := look(s); err != nil {
				return 0, err
			}
		}
	}
	return newest, nil
}
