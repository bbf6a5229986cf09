package lsm

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/wal"
	"github.com/levelparty/party/internal/vfs"
)

// Changes reads the writes of all members from the logs, in the order of their
// sequence numbers, each once. Logs whose entries are in tables are kept for it
// as far as Config.Retention goes. Not safe for concurrent use.
type Changes struct {
	db   *DB
	next format.SeqNum // the first that is to be shown
	num  format.FileNum
	f    vfs.File // the log that is read
	pos  int64
	log  wal.Reader

	records []byte        // of the batch that is being shown
	seq     format.SeqNum // of the first of records
}

// Change is one record of a write.
type Change struct {
	Seq format.SeqNum
	format.Record
	Last bool // of its write
}

// ErrGap: the logs no longer have what was to be read.
var ErrGap = errors.New("party: changes are no longer kept")

// Changes reads from the record with the sequence number from on; 0 is what is
// written from now on. If the logs do not reach back so far it is ErrGap.
func (db *DB) Changes(from format.SeqNum) (*Changes, error) {
	c := &Changes{db: db, next: from}
	err := vfs.Guard(func() error { return c.start(from) })
	if err != nil {
		c.Close()
		return nil, faulted(err)
	}
	return c, nil
}

func (c *Changes) start(from format.SeqNum) error {
	if c.db.closed.Load() {
		return ErrClosed
	}
	for {
		st := c.db.ctl.State()
		if from == 0 || from > st.Seq {
			if from > st.Seq+1 {
				return fmt.Errorf("sequence number %d, the last is %d: %w", from, st.Seq, ErrInvalid)
			}
			c.next = st.Seq + 1
			err := c.open(st.Log, st.LogLen)
			if errors.Is(err, os.ErrNotExist) && c.db.ctl.State().Log != st.Log {
				continue // while we looked it became an old one, and went
			}
			return err
		}
		logs, err := c.db.logs()
		if err != nil {
			return err
		}
		for i := len(logs) - 1; i >= 0; i-- {
			if logs[i] > st.Log {
				continue // of somebody who is just about to begin it
			}
			first, err := c.db.firstOf(logs[i])
			if err != nil && !isEOF(err) && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			if err == nil && first <= from {
				return c.open(logs[i], 0)
			}
		}
		return ErrGap
	}
}

// firstOf returns the sequence number that a log begins with, io.EOF if it is
// empty.
func (db *DB) firstOf(num format.FileNum) (format.SeqNum, error) {
	f, err := db.fs.Open(db.path(format.LogName(num)))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	payload, _, err := wal.NewReader(f, format.LogName(num), 0, -1).Next()
	if err != nil {
		return 0, err
	}
	seq, _, _, err := format.ParseBatch(payload)
	return seq, err
}

func (c *Changes) open(num format.FileNum, pos int64) error {
	f, err := c.db.fs.Open(c.db.path(format.LogName(num)))
	if err != nil {
		return err
	}
	c.Close()
	c.f, c.num, c.pos = f, num, pos
	return nil
}

// Next returns the next change. It waits for one. The slices are valid until
// the next call.
func (c *Changes) Next(ctx context.Context) (ch Change, err error) {
	for {
		for len(c.records) > 0 {
			r, rest, err := format.NextRecord(c.records)
			if err != nil {
				return ch, err
			}
			seq := c.seq
			c.records, c.seq = rest, seq+1
			if seq >= c.next {
				c.next = seq + 1
				return Change{seq, r, len(rest) == 0}, nil
			}
		}
		if err := ctx.Err(); err != nil {
			return ch, err
		}
		if c.db.closed.Load() || c.f == nil {
			return ch, ErrClosed
		}
		var found bool
		err := vfs.Guard(func() (err error) {
			found, err = c.read()
			return err
		})
		if err == nil && !found {
			if err = c.db.ctl.WaitSeq(ctx, c.next); err == nil {
				continue
			}
		}
		if err != nil {
			return ch, faulted(err)
		}
	}
}

// read reads the next batch. It reports whether there is one.
func (c *Changes) read() (bool, error) {
	for {
		st := c.db.ctl.State()
		if c.next > st.Seq {
			return false, nil
		}
		// Of a log that is no longer active all counts: its file ends there.
		limit := int64(-1)
		switch c.num {
		case st.Log:
			limit = st.LogLen
		case st.ImmLog:
			limit = st.ImmLen
		}
		if limit < 0 || c.pos < limit {
			c.log.Reset(c.f, format.LogName(c.num), c.pos, limit)
			payload, end, err := c.log.Next()
			if err == nil {
				return true, c.show(payload, end)
			}
			if !isEOF(err) {
				return false, err
			}
		}
		if c.num == st.Log {
			return false, nil
		}
		if err := c.follow(st.Log); err != nil {
			return false, err
		}
	}
}

func (c *Changes) show(payload []byte, end int64) error {
	seq, _, records, err := format.ParseBatch(payload)
	if err != nil {
		return err
	}
	if seq > c.next {
		return fmt.Errorf("%s goes on with %d instead of %d: %w", format.LogName(c.num), seq, c.next, ErrGap)
	}
	c.pos, c.seq, c.records = end, seq, records
	return nil
}

// follow goes on with the log behind the one that was read to its end. Logs
// above active are not yet any.
func (c *Changes) follow(active format.FileNum) error {
	logs, err := c.db.logs()
	if err != nil {
		return err
	}
	for _, num := range logs {
		if num > c.num && num <= active {
			err := c.open(num, 0)
			if errors.Is(err, os.ErrNotExist) {
				return ErrGap
			}
			return err
		}
	}
	return ErrGap
}

// Close ends the reading.
func (c *Changes) Close() {
	if c.f != nil {
		c.f.Close()
		c.f = nil
	}
}
