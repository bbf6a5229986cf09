package lsm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/manifest"
	"github.com/levelparty/party/internal/format/wal"
	"github.com/levelparty/party/internal/vfs"
)

// maxManifest is the size from which on a manifest is written anew, unless the
// new one would not be much smaller, in bytes.
const maxManifest = 4 << 20

// A version edit is: append to the manifest, sync, publish. The leader alone
// does it. What it leaves behind the published length when it dies in between,
// the next leader cuts off.

// manifestFile is the manifest that the leader writes.
type manifestFile struct {
	num  format.FileNum
	f    *os.File
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

// discard removes the tables of an edit that failed with err.
func (db *DB) discard(err error, added []manifest.AddedFile) {
	if errors.Is(err, errUnsettled) || errors.Is(err, coord.ErrFailed) {
		return
	}
	for _, a := range added {
		os.Remove(db.path(format.TableName(a.Num)))
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
		if err := vfs.SyncDir(db.dir); err != nil { // the names of its tables
			return 0, err
		}
	}
	num, pos := st.Manifest, st.ManifestLen
	if db.manifest.f == nil || db.manifest.num != num { // goleveldb counts from 0
		f, err := os.OpenFile(db.path(format.ManifestName(num)), os.O_RDWR, 0)
		if err != nil {
			return 0, err
		}
		db.manifest.close()
		db.manifest = manifestFile{num: num, f: f}
	}
	var end int64
	var err error
	if pos > max(maxManifest, 4*db.manifest.base) {
		num, end, err = db.rollManifest(e)
	} else {
		record := wal.AppendRecord(nil, pos, e.Append(nil))
		end = pos + int64(len(record))
		db.count(countWritten, int64(len(record)))
		if _, err = db.manifest.f.WriteAt(record, pos); err == nil {
			err = vfs.SyncData(db.manifest.f)
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
	if err := db.lock(db.lead.ctx); err != nil {
		return 0, fmt.Errorf("%w: %w", errUnsettled, err)
	}
	st = db.ctl.State()
	st.Manifest, st.ManifestLen = num, end
	st.Version++
	st.Epoch++
	change(&st)
	db.ctl.Publish(st)
	db.unlock()
	return st.Version, nil
}

// rollManifest writes a new manifest, of the present version and e, and makes
// it the current one.
func (db *DB) rollManifest(e *manifest.Edit) (format.FileNum, int64, error) {
	db.viewMu.Lock()
	v, err := db.current.apply(db.files, e)
	db.viewMu.Unlock()
	if err != nil {
		return 0, 0, err
	}
	num := db.ctl.NextFile()
	v.nextFile = db.ctl.PeekNextFile()
	f, end, err := db.writeManifest(num, v)
	if err != nil {
		return 0, 0, err
	}
	db.manifest.close()
	db.manifest = manifestFile{num, f, end}
	return num, end, nil
}

// writeManifest writes a manifest of v alone, durably, and makes CURRENT name
// it.
func (db *DB) writeManifest(num format.FileNum, v *version) (*os.File, int64, error) {
	path := db.path(format.ManifestName(num))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, db.mode)
	if err != nil {
		return nil, 0, err
	}
	record := wal.AppendRecord(nil, 0, v.snapshotEdit().Append(nil))
	if _, err = f.WriteAt(record, 0); err == nil {
		err = f.Sync()
	}
	if err == nil && db.cfg.Rolling != nil {
		err = db.cfg.Rolling(num)
	}
	if err == nil {
		err = db.setCurrent(num)
	}
	if err != nil {
		f.Close()
		os.Remove(path)
		return nil, 0, err
	}
	db.count(countWritten, int64(len(record)))
	return f, int64(len(record)), nil
}

// setCurrent makes CURRENT name the manifest num, durably.
func (db *DB) setCurrent(num format.FileNum) error {
	temp := db.path(format.TempName(num))
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, db.mode)
	if err != nil {
		return err
	}
	_, err = f.Write(manifest.CurrentContents(num))
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(temp, filepath.Join(db.dir, "CURRENT"))
	}
	if err != nil {
		os.Remove(temp)
		return err
	}
	return vfs.SyncDir(db.dir)
}
