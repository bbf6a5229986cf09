package lsm

import (
	"errors"
	"os"
	"slices"
	"sync"

	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/format"
)

// A table is removed when no living member reads a version that has it, and a
// log when its entries are in tables and it is not kept for those who follow
// the changes. Members that have a memtable mapped keep it; those that come too
// late to open one find a newer state.

// obsolete are the tables that no version from some version on has.
type obsolete struct {
	mu    sync.Mutex
	files []obsoleteFile
}

type obsoleteFile struct {
	num   format.FileNum
	since uint64 // the first version without it
}

func (o *obsolete) add(num format.FileNum, since uint64) {
	o.mu.Lock()
	o.files = append(o.files, obsoleteFile{num, since})
	o.mu.Unlock()
}

// removeObsolete removes what nobody needs any longer.
func (db *DB) removeObsolete() {
	_ = db.refresh() // or it would itself be who keeps them
	o := &db.lead.obsolete
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.files) == 0 {
		return
	}
	oldest := db.ctl.OldestPin()
	kept := o.files[:0]
	for _, f := range o.files {
		if f.since > oldest || !db.removeTable(f.num) {
			kept = append(kept, f)
		}
	}
	clear(o.files[len(kept):])
	o.files = kept
}

func (db *DB) removeTable(num format.FileNum) bool {
	err := db.fs.Remove(db.path(format.TableName(num)))
	if errors.Is(err, os.ErrNotExist) {
		err = db.fs.Remove(db.path(format.OldTableName(num)))
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		db.log.Warn("remove table", "table", num, "reason", err)
		return false
	}
	failpoint.Hit("lsm.table.removed")
	return true
}

// sweep finds what leaders before have left: tables of compactions that were
// not finished, or that somebody still read, and logs and memtables that are in
// tables. Who begins a log at this moment has a number of its own for it, above
// that of the active one.
func (db *DB) sweep() error {
	st := db.ctl.State()
	entries, err := db.fs.ReadDir(db.dir)
	if err != nil {
		return err
	}
	live, id, err := db.liveTables()
	if err != nil {
		return err
	}
	for _, e := range entries {
		kind, num, ok := format.ParseFileName(e.Name())
		if !ok {
			continue
		}
		switch kind {
		case format.FileTable:
			if !live[num] && num < db.lead.born {
				db.lead.obsolete.add(num, id)
			}
		case format.FileMem:
			if num < st.Log && num != st.ImmLog {
				failpoint.Hit("lsm.sweep.mem")
				db.fs.Remove(db.path(e.Name()))
			}
		case format.FileManifest:
			if num < st.Manifest {
				failpoint.Hit("lsm.sweep.manifest")
				db.fs.Remove(db.path(e.Name()))
			}
		case format.FileTemp:
			if num < db.lead.born {
				db.fs.Remove(db.path(e.Name()))
			}
		}
	}
	failpoint.Hit("lsm.sweep.done")
	return db.trimLogs()
}

// removeUnused removes the tables that the current version does not have.
// REQUIRES: nobody reads another version, or makes a table.
func (db *DB) removeUnused() error {
	entries, err := db.fs.ReadDir(db.dir)
	if err != nil {
		return err
	}
	live, _, err := db.liveTables()
	if err != nil {
		return err
	}
	var unused []format.FileNum
	for _, e := range entries {
		if kind, num, ok := format.ParseFileName(e.Name()); ok && kind == format.FileTable && !live[num] {
			unused = append(unused, num)
		}
	}
	if len(unused) == 0 {
		return nil
	}
	// The files may tell of a version that was not published, and has them.
	if err := db.settleManifest(); err != nil {
		return err
	}
	for _, num := range unused {
		db.removeTable(num)
	}
	return nil
}

// liveTables returns the tables of the current version, and its number.
func (db *DB) liveTables() (live map[format.FileNum]bool, id uint64, err error) {
	db.viewMu.Lock()
	defer db.viewMu.Unlock()
	if err := db.refreshLocked(); err != nil {
		return nil, 0, err
	}
	live = make(map[format.FileNum]bool)
	db.current.files(func(_ int, f *file) { live[f.Num] = true })
	return live, db.current.id, nil
}

// trimLogs removes the oldest of the logs that are in tables until those left
// are not larger than Config.Retention.
func (db *DB) trimLogs() error {
	st := db.ctl.State()
	oldest := st.Log
	if st.ImmLog != 0 {
		oldest = st.ImmLog
	}
	logs, err := db.logs()
	if err != nil {
		return err
	}
	var kept int64
	for _, num := range slices.Backward(logs) {
		if num >= oldest {
			continue
		}
		path := db.path(format.LogName(num))
		if info, err := db.fs.Stat(path); err == nil {
			kept += info.Size()
		}
		if kept > db.cfg.Retention {
			if err := db.fs.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			failpoint.Hit("lsm.log.removed")
		}
	}
	return nil
}

// logs returns the numbers of all logs in the directory, ascending.
func (db *DB) logs() ([]format.FileNum, error) {
	entries, err := db.fs.ReadDir(db.dir)
	if err != nil {
		return nil, err
	}
	var logs []format.FileNum
	for _, e := range entries {
		if kind, num, ok := format.ParseFileName(e.Name()); ok && kind == format.FileLog {
			logs = append(logs, num)
		}
	}
	slices.Sort(logs)
	return logs, nil
}
