package lsm

import (
	"errors"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/wal"
)

// takeOver carries through, or cuts, what a writer that died inside the lock has
// left behind the published length of the log. REQUIRES: the write lock.
func (db *DB) takeOver() error {
	st := db.ctl.State()
	if err := db.openLog(st.Log); err != nil {
		return err
	}
	failpoint.Hit("lsm.repair.begun")
	offset := st.LogLen
	name := format.LogName(st.Log)
	log := wal.NewReader(db.writer.log, name, offset, -1)
	payload, end, err := log.Next()
	clean := isEOF(err) && !log.Torn() && log.Damage() == nil
	if err == nil {
		var seq format.SeqNum
		var records []byte
		var count int
		if seq, count, records, err = format.ParseBatch(payload); err == nil && seq == st.Seq+1 && !failpoint.Breaks(failpoint.SkipRollForward) {
			if n, e := format.CountRecords(records); e == nil && n == count {
				m, err := db.activeMem(&st)
				if err != nil {
					return err
				}
				defer m.unref()
				if err := insert(m, seq, records); err != nil {
					return db.fail(coord.FailRepair, err)
				}
				st.Seq += format.SeqNum(count)
				failpoint.Hit("lsm.repair.inserted")
				st.LogLen = end
				db.ctl.Publish(st)
				failpoint.Hit("lsm.repair.published")
				db.ctl.Repaired(uint64(st.Seq))
				return nil
			}
		}
	}
	if err != nil && !isEOF(err) && !errors.Is(err, ErrCorrupted) {
		return err
	}
	if err := db.cutLog(offset, !clean); err != nil {
		return err
	}
	failpoint.Hit("lsm.repair.cut")
	db.ctl.Repaired(uint64(st.Seq))
	return nil
}
