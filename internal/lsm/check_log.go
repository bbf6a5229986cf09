package lsm

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/wal"
)

// logs checks the logs that are not in tables, and has a look at the others.
func (c *checker) logs(t *tree, l *files) error {
	if t.lacksLog(l) {
		c.problem(format.LogName(t.logNumber), -1, "is missing: the manifest names it")
	}
	next := format.SeqNum(0)
	for _, num := range numbers(l.logs) {
		f, err := c.fs.Open(filepath.Join(c.dir, l.logs[num]))
		if err != nil {
			return err
		}
		if t.needs(num) {
			err = c.log(f, l.logs[num], -1, t.lastSeq, &next, nil)
		} else {
			err = c.oldLog(f, l.logs[num])
		}
		f.Close()
		if err != nil {
			return err
		}
	}
	c.report.LastSeq = max(c.report.LastSeq, next-min(next, 1))
	return nil
}

// log checks a log up to limit, or to its end if that is negative. Its batches
// number on from *next or, if that is 0, from somewhere up to last+1. visit may
// be nil.
func (c *checker) log(f io.ReaderAt, name string, limit int64, last format.SeqNum, next *format.SeqNum, visit func(seq format.SeqNum, records []byte) error) error {
	c.report.Logs++
	r := wal.NewReader(f, name, 0, limit)
	begin := int64(0)
	for ; ; begin = r.End() {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		seq, count, records, err := nextBatch(r)
		if isEOF(err) {
			break
		}
		if err != nil {
			offset := begin
			if damage, ok := errors.AsType[*format.Corruption](err); ok {
				offset = damage.Offset
			} else if !errors.Is(err, ErrCorrupted) {
				return eachFault(err, func(offset int64, reason string) { c.problem(name, offset, "%s", reason) })
			}
			c.problem(name, offset, "%s", reasonOf(err))
			continue
		}
		switch {
		case *next == 0 && seq > last+1:
			c.problem(name, begin, "writes %d to %d are missing: the tables end with %d", last+1, seq-1, last)
		case *next != 0 && seq > *next:
			c.problem(name, begin, "writes %d to %d are missing", *next, seq-1)
		case *next != 0 && seq < *next:
			c.problem(name, begin, "write %d comes again: %d is behind it", seq, *next-1)
		}
		if *next == 0 {
			c.firstSeq = seq
		}
		*next = max(*next, seq+format.SeqNum(count))
		c.report.Records += int64(count)
		if visit != nil && count > 0 {
			if err := visit(seq, records); err != nil {
				return err
			}
		}
	}
	c.report.Bytes += r.End()
	switch {
	case limit >= 0 && r.End() != limit:
		c.problem(name, r.End(), "the log ends before its length %d", limit)
	case r.Torn():
		if behind := behindTear(f, r.End(), *next); behind != 0 {
			c.problem(name, r.End(), "a write is damaged, and write %d is behind it", behind)
			break
		}
		c.note(name, r.End(), "a write was begun and not finished, which a crash leaves")
	}
	return nil
}

// behindTear looks for a whole write behind the place where a log seems to be
// torn. Recovery does not: if the damage is in a length, it may take all that
// follows for the rest of one record.
func behindTear(f io.ReaderAt, end int64, next format.SeqNum) (found format.SeqNum) {
	_ = wal.Salvage(f, func(s wal.Salvaged) error {
		if seq, _, _, err := parseBatch(s.Payload); s.Begin >= end && err == nil && seq >= max(next, 1) {
			found = seq
			return io.EOF
		}
		return nil
	}, func(int64, int64, string) {})
	return found
}

// oldLog has a look at a log that is in tables already. Nobody recovers from
// it, so that its damage is none of the database.
func (c *checker) oldLog(f io.ReaderAt, name string) error {
	r := wal.NewReader(f, name, 0, -1)
	for {
		_, _, _, err := nextBatch(r)
		if isEOF(err) {
			return nil
		}
		if err != nil {
			c.note(name, r.End(), "is in tables already, and damaged: %s", reasonOf(err))
			return nil
		}
	}
}

// nextBatch reads and validates the next batch of a log.
func nextBatch(r *wal.Reader) (seq format.SeqNum, count int, records []byte, err error) {
	payload, _, err := r.Next()
	if err != nil {
		return 0, 0, nil, err
	}
	return parseBatch(payload)
}

// parseBatch is format.ParseBatch for one whose records must be as many as it
// says, and valid.
func parseBatch(payload []byte) (seq format.SeqNum, count int, records []byte, err error) {
	if seq, count, records, err = format.ParseBatch(payload); err != nil {
		return 0, 0, nil, err
	}
	n, err := format.CountRecords(records)
	if err == nil && n != count {
		err = fmt.Errorf("batch of %d records says it has %d: %w", n, count, ErrCorrupted)
	}
	if err == nil && seq+format.SeqNum(count) > format.MaxSeqNum {
		err = fmt.Errorf("batch with sequence number %d: %w", seq, ErrCorrupted)
	}
	return seq, count, records, err
}

// reasonOf returns what is wrong, without the place.
func reasonOf(err error) string {
	if damage, ok := errors.AsType[*format.Corruption](err); ok {
		return damage.Reason
	}
	return err.Error()
}
