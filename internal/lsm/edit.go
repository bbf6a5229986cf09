package lsm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/manifest"
	"github.com/levelparty/party/internal/format/wal"
	"github.com/levelparty/party/internal/vfs"
)

// maxManifest is the size from which on a manifest is written anew, unless the
// new one would not be much smaller, in bytes.
var maxManifest = failpoint.Limit(4<<20, 1<<10)

// A version edit is: append to the manifest, sync, publish. The leader alone
// does it. What it leaves behind the published length when it dies in between,
// the next leader cuts off.

// manifestFile is the manifest that the leader writes.
type manifestFile struct {
	num  format.FileNum
	f    vfs.File
	base int64 // its length when it held one version and nothing else
}

func (m *manifestFile) close() {
	if m.f != nil {
		m.f.Close()
	}
	*m = manifestFile{}
}

// errUnsettled: whether an edit counts is for the next leader to say, so that
// its tables must not be removed.
var errUnsettled = errors.New("edit not published")

// errRenamed: which manifest CURRENT will name after a loss of power is not
// certain. What either tells of must stay.
var errRenamed = errors.New("CURRENT was renamed, but the directory not synced")

// discard removes the tables of an edit that failed with err.
func (db *DB) discard(err error, added []manifest.AddedFile) {
	if errors.Is(err, errUnsettled) || errors.Is(err, coord.ErrFailed) {
		return
	}
	for _, a := range added {
		db.fs.Remove(db.path(format.TableName(a.Num)))
	}
}

// commit appends e to the manifest and publishes the state that change makes
// of the present one. The tables of e are durable already. It returns the id of
// the new version. REQUIRES: lead.edits is held.
func (db *DB) commit(e *manifest.Edit, change func(*coord.State)) (uint64, error) {
	if err := db.ctl.Failed(); err != nil {
		return 0, err
	}
	st := db.ctl.State()
	e.NextFile, e.HasNextFile = db.ctl.PeekNextFile(), true
	if len(e.Added) > 0 {
		if err := db.fs.SyncDir(db.dir); err != nil { // the names of its tables
			return 0, err
		}
	}
	num, pos := st.Manifest, st.ManifestLen
	if db.manifest.f == nil || db.manifest.num != num { // goleveldb counts from 0
		f, err := db.fs.OpenFile(db.path(format.ManifestName(num)), os.O_RDWR, 0)
		if err != nil {
			return 0, err
		}
		db.manifest.close()
		db.manifest = manifestFile{num: num, f: f}
	}
	failpoint.Hit("lsm.edit.begun")
	var end int64
	var err error
	if pos > max(maxManifest, 4*db.manifest.base) {
		num, end, err = db.rollManifest(e)
	} else {
		record := wal.AppendRecord(nil, pos, e.Append(nil))
		end = pos + int64(len(record))
		db.count(countWritten, int64(len(record)))
		failpoint.Torn("lsm.edit.torn", db.manifest.f, record, pos)
		if _, err = db.manifest.f.WriteAt(record, pos); err == nil {
			failpoint.Hit("lsm.edit.appended")
			err = db.manifest.f.SyncData()
			if err != nil {
				err = db.fail(coord.FailSync, err)
			}
		} else if cut := db.manifest.f.Truncate(pos); cut != nil {
			err = db.fail(coord.FailWrite, errors.Join(err, cut))
		}
	}
	if err != nil {
		return 0, fmt.Errorf("manifest %d: %w", num, err)
	}
	failpoint.Hit("lsm.edit.durable")
	if err := db.lock(db.lead.ctx); err != nil {
		// No other edit may follow one that may count or not, but one of the next
		// leader, which settles it.
		switch {
		case errors.Is(err, ErrClosed): // the handle is about to close: see coord's EndWaits
			db.lead.stop()
		case db.lead.ctx.Err() == nil:
			err = db.fail(coord.FailWrite, err)
		}
		return 0, fmt.Errorf("%w: %w", errUnsettled, err)
	}
	st = db.ctl.State()
	st.Manifest, st.ManifestLen = num, end
	st.Version++
	st.Epoch++
	change(&st)
	failpoint.Hit("lsm.edit.ready")
	db.ctl.Publish(st)
	failpoint.Hit("lsm.edit.published")
	db.unlock()
	return st.Version, nil
}

// rollManifest writes a new manifest, of the present version and e, and makes
// it the current one.
func (db *DB) rollManifest(e *manifest.Edit) (format.FileNum, int64, error) {
	var v *version
	db.viewMu.Lock()
	err := db.refreshLocked() // the edit before may be a moment old
	if err == nil {
		v, err = db.current.apply(db.files, e)
	}
	db.viewMu.Unlock()
	if err != nil {
		return 0, 0, err
	}
	num := db.ctl.NextFile()
	v.nextFile = db.ctl.PeekNextFile()
	f, end, err := db.writeManifest(num, v)
	if errors.Is(err, errRenamed) {
		return 0, 0, db.fail(coord.FailSync, err)
	}
	if err != nil {
		return 0, 0, err
	}
	failpoint.Hit("lsm.manifest.rolled")
	db.manifest.close()
	db.manifest = manifestFile{num, f, end}
	return num, end, nil
}

// writeManifest writes a manifest of v alone, durably, and makes CURRENT name
// it.
func (db *DB) writeManifest(num format.FileNum, v *version) (vfs.File, int64, error) {
	path := db.path(format.ManifestName(num))
	f, err := db.fs.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, db.mode)
	if err != nil {
		return nil, 0, err
	}
	failpoint.Hit("lsm.manifest.created")
	record := wal.AppendRecord(nil, 0, v.snapshotEdit().Append(nil))
	failpoint.Torn("lsm.manifest.torn", f, record, 0)
	if _, err = f.WriteAt(record, 0); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = db.fs.SyncDir(db.dir) // CURRENT must not name what has no name
	}
	failpoint.Hit("lsm.manifest.written")
	if err == nil && db.cfg.Rolling != nil {
		err = db.cfg.Rolling(num)
	}
	if err == nil {
		err = db.setCurrent(num)
	}
	if err != nil {
		f.Close()
		if !errors.Is(err, errRenamed) {
			db.fs.Remove(path)
		}
		return nil, 0, err
	}
	db.count(countWritten, int64(len(record)))
	return f, int64(len(record)), nil
}

// setCurrent makes CURRENT name the manifest num, durably.
func (db *DB) setCurrent(num format.FileNum) error {
	temp := db.path(format.TempName(num))
	f, err := db.fs.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, db.mode)
	if err != nil {
		return err
	}
	failpoint.Hit("lsm.current.created")
	_, err = f.Write(manifest.CurrentContents(num))
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	failpoint.Hit("lsm.current.written")
	if err == nil {
		err = db.fs.Rename(temp, filepath.Join(db.dir, "CURRENT"))
	}
	failpoint.Hit("lsm.current.renamed")
	if err != nil {
		db.fs.Remove(temp)
		return err
	}
	if err := db.fs.SyncDir(db.dir); err != nil {
		return fmt.Errorf("%w: %w", errRenamed, err)
	}
	return nil
}
