package lsm

import (
	"errors"
	"fmt"
	"os"

	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/manifest"
	"github.com/levelparty/party/internal/format/sstable"
	"github.com/levelparty/party/internal/vfs"
)

// tableFile is a table that is being written.
type tableFile struct {
	manifest.FileMeta
	*sstable.Writer
	fs      vfs.FS
	f       vfs.File
	path    string
	written func(bytes int64) // told how long it has become; may be nil
}

func (db *DB) createTable() (*tableFile, error) {
	num := db.ctl.NextFile()
	t, err := newTableFile(db.fs, db.path(format.TableName(num)), num, os.O_EXCL, db.mode, db.table)
	if err == nil {
		t.written = func(bytes int64) { db.count(countWritten, bytes) }
	}
	return t, err
}

// newTableFile creates the file of a table. flag tells what becomes of one that
// is there.
func newTableFile(fs vfs.FS, path string, num format.FileNum, flag int, mode os.FileMode, o sstable.WriterOptions) (*tableFile, error) {
	f, err := fs.OpenFile(path, os.O_RDWR|os.O_CREATE|flag, mode)
	if err != nil {
		return nil, err
	}
	failpoint.Hit("lsm.table.created")
	return &tableFile{
		FileMeta: manifest.FileMeta{Num: num}, Writer: sstable.NewWriter(f, o), fs: fs, f: f, path: path,
	}, nil
}

func (t *tableFile) add(key, value []byte) error {
	if t.Smallest == nil {
		t.Smallest = append([]byte(nil), key...)
	}
	failpoint.Hit("lsm.table.entry")
	t.Largest = append(t.Largest[:0], key...)
	return t.Writer.Add(key, value)
}

// finish makes the table durable and closes it.
func (t *tableFile) finish() (*manifest.FileMeta, error) {
	err := t.Finish()
	failpoint.Hit("lsm.table.written")
	if err == nil {
		err = t.f.Sync()
	}
	failpoint.Hit("lsm.table.synced")
	if err != nil {
		return nil, t.abandon(err)
	}
	if err := t.f.Close(); err != nil {
		return nil, errors.Join(err, t.fs.Remove(t.path))
	}
	t.FileMeta.Size = t.Writer.Size()
	if t.written != nil {
		t.written(int64(t.FileMeta.Size))
	}
	return &t.FileMeta, nil
}

// abandon removes the table, and returns why.
func (t *tableFile) abandon(err error) error {
	return errors.Join(fmt.Errorf("table %d: %w", t.Num, err), t.f.Close(), t.fs.Remove(t.path))
}
