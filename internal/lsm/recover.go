package lsm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/manifest"
	"github.com/levelparty/party/internal/format/wal"
	"github.com/levelparty/party/internal/memtable"
	"github.com/levelparty/party/internal/vfs"
)

// The first that opens a database when nobody else has it open recovers it as
// LevelDB does: the manifest tells the tables, and the logs that it does not
// call unnecessary are read again. Unlike LevelDB, it goes on with the newest
// log and the manifest where they end, if they end well: nothing is written to
// a table before the database can be used.

// found are the files that recovery goes by.
type found struct {
	manifest format.FileNum
	length   int64 // of the manifest
	whole    bool  // the manifest ends well
	own      bool  // no other LevelDB has written it, nor the logs
	version  *version
	logs     []format.FileNum // to be read again, ascending
	highest  format.FileNum   // of any file
}

// Exists reports whether dir holds a database.
func Exists(dir string) (bool, error) { return existsIn(vfs.OS, dir) }

func existsIn(fsys vfs.FS, dir string) (bool, error) {
	_, err := fsys.Stat(filepath.Join(dir, "CURRENT"))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// recover makes the first state of the control block out of the files.
func (db *DB) recover() error {
	exists, err := existsIn(db.fs, db.dir)
	switch {
	case err != nil:
		return err
	case !exists && (db.cfg.MustExist || db.readOnly):
		return ErrNotExist
	case exists && db.cfg.MustNotExist:
		return ErrExist
	}
	if !exists {
		if err := db.create(); err != nil {
			return fmt.Errorf("create: %w", err)
		}
	}
	have, err := db.readManifest()
	if err != nil {
		return err
	}
	failpoint.Hit("lsm.recover.manifest")
	v := have.version
	db.ctl.EnsureNextFile(max(have.highest+1, v.nextFile))
	st := coord.State{Seq: v.lastSeq, Version: 1, Epoch: 1}
	if db.readOnly {
		return db.recoverReadOnly(have, &st)
	}
	if exists && have.highest == have.manifest {
		// Who created it went no further, and may not have come to this: what is
		// built on CURRENT must not survive without it.
		if err := db.fs.SyncDir(db.dir); err != nil {
			return err
		}
	}

	var logs []*replay
	begun := false
	defer func() {
		if !begun {
			for _, r := range logs {
				r.mem.unref()
			}
		}
	}()
	follow := have.follow()
	for _, num := range have.logs {
		r, err := db.replay(num, follow)
		if err != nil {
			return err
		}
		failpoint.Hit("lsm.recover.log")
		logs = append(logs, r)
		st.Seq = max(st.Seq, r.last)
		if r.cut {
			break
		}
		if have.own {
			follow = r
		}
	}
	if db.cfg.Recovered != nil {
		if err := db.cfg.Recovered(st.Seq, have.manifest); err != nil {
			return err
		}
	}

	failpoint.Hit("lsm.recover.once")
	for _, r := range logs {
		if r.trim {
			if err := db.truncateLog(r.num, r.end, true); err != nil {
				return err
			}
		}
	}
	if n := len(logs); n > 0 && logs[n-1].cut {
		if err := db.cutLost(logs[n-1], have.logs[n:]); err != nil {
			return err
		}
	}
	// The newest log goes on, if it can. One before it can wait for the leader,
	// as an immutable memtable does; others become tables now.
	var active *replay
	full := logs
	wait := 1
	foreign := !have.own && len(logs) > 0
	if foreign || slices.ContainsFunc(logs, func(r *replay) bool { return r.gap || r.first != 0 && r.first < v.lastSeq }) {
		// C++ LevelDB, killed, leaves logs whose writes have lower numbers than
		// its manifest. goleveldb, coming after us, would drop them. And what
		// follows a gap must not be taken for what a loss of power has left.
		wait = 0
	} else if n := len(logs); n > 0 && logs[n-1].good && logs[n-1].mem.Room() > int64(db.cfg.WriteBuffer)/4 &&
		!db.linked(format.LogName(logs[n-1].num)) {
		active, full = logs[n-1], logs[:n-1]
	}
	rewrite := !have.whole || !have.own || have.length > maxManifest || db.linked(format.ManifestName(have.manifest))
	for ; len(full) > wait; full = full[1:] {
		f, err := db.writeMem(full[0].mem)
		if err != nil {
			return err
		}
		e := &manifest.Edit{LogNumber: full[0].num + 1, HasLogNumber: true, HasPrevLogNumber: true, LastSeq: max(v.lastSeq, full[0].last), HasLastSeq: true}
		if f != nil {
			e.Added = []manifest.AddedFile{{FileMeta: *f}}
		}
		if v, err = v.apply(db.files, e); err != nil {
			return err
		}
		full[0].mem.unref()
		full[0].mem = nil
		_ = db.removeMem(full[0].num)
		failpoint.Hit("lsm.recover.table")
		rewrite = true
	}
	if rewrite {
		have.manifest = db.ctl.NextFile()
		v.nextFile = db.ctl.PeekNextFile()
		f, end, err := db.writeManifest(have.manifest, v)
		if err != nil {
			return err
		}
		f.Close()
		have.length = end
	}

	var mem, imm *mem
	if len(full) > 0 {
		r := full[0]
		imm = r.mem
		st.ImmLog, st.ImmLen, st.ImmSeq = r.num, r.end, max(r.last, v.lastSeq)
	}
	if active != nil {
		if err := db.truncateLog(active.num, active.end, active.torn); err != nil {
			return err
		}
		failpoint.Hit("lsm.recover.truncated")
		mem = active.mem
		db.ctl.SetLogAlloc(active.end)
		st.Log, st.LogLen = active.num, active.end
	} else {
		num := db.ctl.NextFile()
		db.writer.num = num
		var allocated int64
		if db.writer.log, allocated, mem, err = db.newLog(num, int64(db.cfg.WriteBuffer)); err != nil {
			return err
		}
		db.ctl.SetLogAlloc(allocated)
		st.Log = num
	}
	failpoint.Hit("lsm.recover.ready")
	begun = true // the view has the memtables
	db.begin(have, v, &st, mem, imm)
	failpoint.Hit("lsm.recover.published")
	return nil
}

// begin publishes the first state.
func (db *DB) begin(have *found, v *version, st *coord.State, mem, imm *mem) {
	st.Manifest, st.ManifestLen = have.manifest, have.length
	st.Level0 = uint64(len(v.levels[0]))
	v.id = st.Version
	db.viewMu.Lock()
	defer db.viewMu.Unlock()
	db.reading.num, db.reading.pos = have.manifest, have.length
	db.holdVersionLocked(v)
	v.refs++ // by the view
	first := &view{db: db, epoch: st.Epoch, mem: mem, imm: imm, version: v}
	first.refs.Store(1)
	db.setViewLocked(first)
	db.ctl.Publish(*st)
}

// recoverReadOnly reads all logs into one memtable, and changes nothing.
func (db *DB) recoverReadOnly(have *found, st *coord.State) error {
	need := int64(memtable.HeaderLen)
	for _, num := range have.logs {
		n, err := db.measure(num)
		if err != nil {
			return err
		}
		need += n
	}
	mem, err := db.newMem(0, need)
	if err != nil {
		return err
	}
	follow := have.follow()
	for _, num := range have.logs {
		r := &replay{num: num, good: true, before: follow}
		if err := db.readLog(r, func(seq format.SeqNum, records []byte, count int) error {
			return insert(mem, seq, records)
		}); err != nil {
			mem.unref()
			return err
		}
		st.Seq = max(st.Seq, r.last)
		if r.cut {
			break
		}
		if have.own {
			follow = r
		}
	}
	db.begin(have, have.version, st, mem, nil)
	return nil
}

// create makes the files of an empty database.
func (db *DB) create() error {
	// What is there without a CURRENT may be the rest of a database that can be
	// repaired.
	entries, err := db.fs.ReadDir(db.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		kind, num, ok := format.ParseFileName(e.Name())
		if ok && (kind == format.FileTable || kind == format.FileManifest && num > 1 || kind == format.FileLog) {
			info, err := e.Info()
			if err == nil && info.Size() > 0 {
				return fmt.Errorf("%s is there, but no CURRENT: repair the database, or empty the directory: %w", e.Name(), ErrCorrupted)
			}
		}
	}
	f, _, err := db.writeManifest(1, &version{counters: counters{nextFile: 2}})
	if err != nil {
		return err
	}
	failpoint.Hit("lsm.create.done")
	return f.Close()
}

// readManifest reads the current manifest and looks for the logs.
func (db *DB) readManifest() (*found, error) {
	b, err := vfs.ReadFile(db.fs, db.path("CURRENT"))
	if err != nil {
		return nil, err
	}
	num, err := manifest.ReadCurrent(b)
	if err != nil {
		return nil, fmt.Errorf("CURRENT: %w", err)
	}
	name := format.ManifestName(num)
	f, err := db.fs.Open(db.path(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("CURRENT names a manifest that is not there: %w: %w", ErrCorrupted, err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	edits, end, err := readEdits(f, name, 0, -1)
	if err != nil {
		return nil, err
	}
	have := &found{manifest: num, length: end, own: len(edits) > 0 && ownManifest(edits[0])}
	have.version, err = new(version).apply(db.files, edits...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(edits) == 0 || have.version.nextFile == 0 {
		return nil, &format.Corruption{File: name, Reason: "the manifest holds no version"}
	}
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	have.whole = size == end
	entries, err := db.fs.ReadDir(db.dir)
	if err != nil {
		return nil, err
	}
	tables := make(map[format.FileNum]bool)
	for _, e := range entries {
		kind, n, ok := format.ParseFileName(e.Name())
		if !ok {
			continue
		}
		have.highest = max(have.highest, n)
		if kind == format.FileTable {
			tables[n] = true
		}
		if kind == format.FileLog && (n >= have.version.logNumber || n == have.version.prevLog && n != 0) {
			have.logs = append(have.logs, n)
		}
	}
	// Else what is left would be taken for all there is, and tables that the
	// end of a damaged manifest tells of would be swept away.
	have.version.files(func(_ int, f *file) {
		if err == nil && !tables[f.Num] {
			err = &format.Corruption{File: format.TableName(f.Num), Reason: "the table is missing"}
		}
	})
	slices.Sort(have.logs)
	return have, err
}

// replay is what a log held.
type replay struct {
	num         format.FileNum
	mem         *mem
	first, last format.SeqNum // 0: nothing
	end         int64         // of what is valid
	good        bool          // nothing is damaged: more may be appended
	torn        bool          // something stands behind end
	trim        bool          // and was lost with the power
	before      *replay       // the log before; nil: any number may follow
	gap         bool          // numbers are missing: damaged
	cut         bool          // numbers are missing: lost with the power, so that nothing behind end counts
}

// follow returns what the first log has to follow.
func (have *found) follow() *replay {
	if !have.own {
		return nil
	}
	return &replay{last: have.version.lastSeq}
}

// replay reads a log into a memtable. Damaged records are left out, as LevelDB
// does; a torn last record was never acknowledged.
func (db *DB) replay(num format.FileNum, before *replay) (*replay, error) {
	need, err := db.measure(num)
	if err != nil {
		return nil, err
	}
	r := &replay{num: num, good: true, before: before}
	if r.mem, err = db.newMem(num, max(int64(db.cfg.WriteBuffer), memtable.HeaderLen+need)); err != nil {
		return nil, err
	}
	err = db.readLog(r, func(seq format.SeqNum, records []byte, count int) error {
		return insert(r.mem, seq, records)
	})
	if err != nil {
		r.mem.unref()
		return nil, err
	}
	return r, nil
}

// measure returns the most that the entries of a log take in a memtable.
func (db *DB) measure(num format.FileNum) (need int64, err error) {
	err = db.readLog(&replay{num: num}, func(_ format.SeqNum, records []byte, count int) error {
		n, err := needOf(records, count)
		need += n
		return err
	})
	return need, err
}

// readLog visits the batches of r's log, and notes in r how it ends.
func (db *DB) readLog(r *replay, visit func(seq format.SeqNum, records []byte, count int) error) error {
	name := format.LogName(r.num)
	f, err := db.fs.Open(db.path(name))
	if err != nil {
		return err
	}
	defer f.Close()
	log := wal.NewReader(f, name, 0, -1)
	for {
		payload, end, err := log.Next()
		if isEOF(err) {
			r.torn = log.Torn() || log.Damage() != nil
			if r.before != nil {
				r.last = max(r.last, r.before.last)
				if r.torn {
					r.trim, _, err = lostAt(f, r.end)
					return err
				}
			}
			return nil
		}
		var seq format.SeqNum
		var records []byte
		var count int
		if err == nil {
			seq, count, records, err = format.ParseBatch(payload)
		}
		if err == nil {
			var n int
			if n, err = format.CountRecords(records); err == nil && n != count {
				err = fmt.Errorf("batch of %d records says it has %d: %w", n, count, ErrCorrupted)
			}
		}
		if errors.Is(err, ErrCorrupted) {
			if r.before != nil {
				lost, _, e := lostAt(f, r.end)
				if r.cut = lost; lost || e != nil {
					return e
				}
			}
			if r.good {
				db.log.Error("damage in a log: the rest is read as far as it can be", "path", db.path(name), "reason", err)
			}
			r.good = false
			continue
		}
		if err != nil {
			return err
		}
		if count > 0 {
			if r.before != nil && seq > max(r.last, r.before.last)+1 {
				if r.cut, err = db.lostBefore(r, f); err != nil || r.cut {
					return err
				}
				r.gap = true
			}
			if err := visit(seq, records, count); err != nil {
				return err
			}
			if r.first == 0 {
				r.first = seq
			}
			r.last = max(r.last, seq+format.SeqNum(count)-1)
		}
		r.end = end
	}
}

// lostBefore reports whether the numbers that are missing behind what was read
// of r's log f were lost with the power.
func (db *DB) lostBefore(r *replay, f io.ReaderAt) (bool, error) {
	lost, _, err := lostAt(f, r.end)
	if err != nil || lost || r.first != 0 {
		return lost, err
	}
	if r.before.num == 0 {
		return true, nil // a log's name was
	}
	old, err := db.fs.Open(db.path(format.LogName(r.before.num)))
	if err != nil {
		return false, err
	}
	defer old.Close()
	lost, _, err = lostAt(old, r.before.end)
	return lost, err
}

// cutLost cuts off what does not count of a log and the logs behind it, so that
// it cannot be taken for what will be written instead.
func (db *DB) cutLost(r *replay, behind []format.FileNum) error {
	db.log.Warn("writes that were not synced were lost with the power, and those after them are dropped",
		"path", db.path(format.LogName(r.num)), "offset", r.end, "logs behind", behind)
	if err := db.truncateLog(r.num, r.end, true); err != nil {
		return err
	}
	for _, num := range behind {
		if err := db.fs.Remove(db.path(format.LogName(num))); err != nil {
			return err
		}
	}
	if len(behind) == 0 {
		return nil
	}
	return db.fs.SyncDir(db.dir)
}

// linked reports whether a file has another name, as that of a copy made with
// links has: what is found so is read, and nothing is appended to it.
func (db *DB) linked(name string) bool {
	info, err := db.fs.Stat(db.path(name))
	return err == nil && vfs.Linked(info)
}

// truncateLog cuts a log off, durably if need be.
func (db *DB) truncateLog(num format.FileNum, size int64, durably bool) error {
	if db.linked(format.LogName(num)) {
		return fmt.Errorf("%s has to be cut at %d, and has another name, a hard link: copy it: %w", db.path(format.LogName(num)), size, ErrInvalid)
	}
	f, err := db.fs.OpenFile(db.path(format.LogName(num)), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil || !durably {
		return err
	}
	return f.SyncData()
}
