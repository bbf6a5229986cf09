// Package lsm is LevelDB's log-structured merge tree over a directory that
// several processes have open at once. Each of them, a member, has a DB; what
// they must agree on is in the control block of package coord: which log and
// memtable are active, how far they are published, which manifest tells the
// tables. One member leads: it alone writes tables and manifests, see lead.go.
//
// The same code over a control block that is shared with nobody
// (coord.Private) is the engine of a leader that others reach through sockets.
//
// It knows no sockets, roles or elections, and takes no lock on the directory:
// who calls it has a coord.Control.
package lsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/manifest"
	"github.com/levelparty/party/internal/format/sstable"
	"github.com/levelparty/party/internal/format/wal"
	"github.com/levelparty/party/internal/vfs"
)

const (
	// DefaultCache is the memory for uncompressed blocks where none is set, in
	// bytes.
	DefaultCache = 8 << 20
	// DefaultWriteBuffer is the size of a memtable where none is set, in bytes.
	DefaultWriteBuffer = 4 << 20
	// DefaultOpenTables is how many tables are kept open where nothing is set.
	DefaultOpenTables = 4096
	// DefaultRetention is how much of the logs that are in tables already is
	// kept for those who follow the changes, in bytes.
	DefaultRetention = 16 << 20
)

// Config is how a database is opened.
type Config struct {
	Dir     string
	Control *coord.Control
	// Private says that Control is coord.Private: memtables are then in the
	// process's own memory.
	Private bool
	// First says that nobody else has the database open: it is recovered from
	// its files.
	First        bool
	ReadOnly     bool // REQUIRES: Private
	MustExist    bool
	MustNotExist bool
	Cache        int // bytes; 0: DefaultCache, negative: none
	WriteBuffer  int // bytes; 0: DefaultWriteBuffer
	MaxOpenFiles int // tables; 0: DefaultOpenTables
	NoSnappy     bool
	BloomBits    int   // per key; 0: 10, negative: none
	Retention    int64 // bytes; 0: DefaultRetention, negative: none
	// VerifyChecksums checks every block that is read.
	VerifyChecksums bool
	// Recovered, if set, is called by the first with the last sequence number
	// in the files, before any other can be given, and with the manifest that
	// CURRENT names.
	Recovered func(last format.SeqNum, manifest format.FileNum) error
	// Blocked, if set, is called with true when a write has waited for another
	// process's for some milliseconds, and with false when it no longer does. The
	// calls can come in either order.
	Blocked func(bool)
	// Rolling, if set, is called before CURRENT is made to name another
	// manifest.
	Rolling func(manifest format.FileNum) error
	// FS has the files, all but the memtables. nil: vfs.OS.
	FS  vfs.FS
	Log *slog.Logger
}

// DB is one member's hold on the database. Safe for concurrent use.
type DB struct {
	// Constant after Open.
	dir      string
	fs       vfs.FS
	cfg      Config
	mode     os.FileMode // of new files
	private  bool
	readOnly bool
	ctl      *coord.Control
	tables   *tables
	table    sstable.WriterOptions
	log      *slog.Logger
	closed   atomic.Bool
	ctx      context.Context // ends with Close
	stop     context.CancelFunc

	view atomic.Pointer[view] // the current one

	// viewMu guards what views are made of.
	viewMu  sync.Mutex
	views   []*view // that somebody holds
	files   map[format.FileNum]*file
	current *version // the newest known; the views' are this one or older
	reading struct { // the manifest, as far as current knows it
		num format.FileNum
		pos int64
	}
	fresh *mem // made by this handle's last rotation, maybe in no view yet

	writer   writer // see log.go
	syncer   syncer // see sync.go
	lead     lead   // see lead.go
	manifest manifestFile

	keeper sync.WaitGroup // runs keepUp

	stats stats
}

// Open opens the database. When the first has opened it, it has published the
// state that others join.
func Open(c Config) (_ *DB, err error) {
	if c.Cache == 0 {
		c.Cache = DefaultCache
	}
	if c.WriteBuffer == 0 {
		c.WriteBuffer = DefaultWriteBuffer
	}
	c.WriteBuffer = min(max(c.WriteBuffer, 64<<10), 1<<30) // LevelDB's limits
	if c.MaxOpenFiles == 0 {
		c.MaxOpenFiles = DefaultOpenTables
	}
	if c.Retention == 0 {
		c.Retention = DefaultRetention
	}
	if c.BloomBits == 0 {
		c.BloomBits = 10
	}
	if c.FS == nil {
		c.FS = vfs.OS
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	db := &DB{
		dir: c.Dir, fs: c.FS, cfg: c, mode: 0o644, private: c.Private, readOnly: c.ReadOnly, ctl: c.Control, log: c.Log,
		tables: &tables{dir: c.Dir, fs: c.FS, limit: max(c.MaxOpenFiles, 16), verify: c.VerifyChecksums},
		files:  make(map[format.FileNum]*file),
	}
	db.ctx, db.stop = context.WithCancel(context.Background())
	db.tables.opened = func(n int64) { db.count(countOpen, n) }
	if c.Cache > 0 {
		db.tables.cache = sstable.NewCache(c.Cache)
	}
	db.table = sstable.WriterOptions{BlockSize: 4096, RestartInterval: 16, BloomBits: c.BloomBits}
	if !c.NoSnappy {
		db.table.Compression = sstable.Snappy
	}
	db.writer.init()
	if c.First {
		err = db.recover()
	}
	if err == nil {
		err = db.refresh()
	}
	if err != nil {
		return nil, errors.Join(err, db.Close(), db.Release())
	}
	db.keeper.Go(db.keepUp)
	return db, nil
}

// keepUp moves the handle on to newer views, so that it does not keep files
// from being removed while nobody uses it.
func (db *DB) keepUp() {
	err := error(nil)
	for !db.closed.Load() && !errors.Is(err, vfs.ErrFault) {
		err = vfs.Guard(func() error {
			_, epoch := db.ctl.Seq()
			_ = db.refresh() // who needs it is told why it fails
			db.ctl.WaitEpoch(db.ctx, epoch, time.Minute)
			return nil
		})
	}
}

func (db *DB) path(name string) string { return filepath.Join(db.dir, name) }

// LastSequence returns the sequence number of the last write.
func (db *DB) LastSequence() format.SeqNum {
	seq, _ := db.ctl.Seq()
	return format.SeqNum(seq)
}

// Manifest returns the manifest that CURRENT names.
func (db *DB) Manifest() format.FileNum { return db.ctl.State().Manifest }

// follow makes db.current the version of st, reading what the manifest has
// that is new.
func (db *DB) follow(st *coord.State) error {
	if db.current != nil && db.current.id == st.Version {
		return nil
	}
	base, pos := db.current, db.reading.pos
	if base == nil || db.reading.num != st.Manifest {
		base, pos = new(version), 0
	}
	name := format.ManifestName(st.Manifest)
	f, err := db.fs.Open(db.path(name))
	if err != nil {
		return err
	}
	defer f.Close()
	edits, end, err := readEdits(f, name, pos, st.ManifestLen)
	if err == nil && end != st.ManifestLen {
		err = &format.Corruption{File: name, Offset: end, Reason: fmt.Sprintf("the manifest ends before its length %d", st.ManifestLen)}
	}
	if err != nil {
		return err
	}
	next, err := base.apply(db.files, edits...)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	next.id = st.Version
	db.holdVersionLocked(next)
	db.reading.num, db.reading.pos = st.Manifest, st.ManifestLen
	return nil
}

// readEdits reads the edits in a manifest from offset to limit, and where the
// last of them ends.
func readEdits(f io.ReaderAt, name string, offset, limit int64) (edits []*manifest.Edit, end int64, err error) {
	r := wal.NewReader(f, name, offset, limit)
	end = offset
	for {
		payload, e, err := r.Next()
		if err != nil {
			if isEOF(err) {
				// Every edit was synced before it counted, so that only the last
				// can have been cut short. What looks otherwise may be many.
				if err = r.Damage(); err != nil && limit < 0 && len(edits) > 0 && ownManifest(edits[0]) {
					if lost, e := lastLost(f, end); e != nil {
						err = e
					} else if lost {
						err = nil
					}
				}
			}
			return edits, end, err
		}
		edit := new(manifest.Edit)
		if err := edit.Decode(payload); err != nil {
			return nil, 0, fmt.Errorf("%s, before offset %d: %w", name, e, err)
		}
		edits, end = append(edits, edit), e
	}
}

// await waits until the state has another shape than that of epoch.
func (db *DB) await(ctx context.Context, epoch uint64) error {
	if db.closed.Load() {
		return ErrClosed
	}
	db.ctl.WaitEpoch(ctx, epoch, waitEpoch)
	return db.ctl.WaitErr(ctx)
}
