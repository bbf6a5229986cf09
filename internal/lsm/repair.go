package lsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/manifest"
	"github.com/levelparty/party/internal/format/sstable"
	"github.com/levelparty/party/internal/format/wal"
	"github.com/levelparty/party/internal/vfs"
)

// Repair makes a database that can be opened out of what can be read:
//
//  1. Tables that are damaged are written anew with the entries of their sound
//     blocks, under the same names. What is sound stays as it is.
//  2. If the manifest is sound, and all it names is there, tables stay in their
//     levels. Otherwise all tables in the directory count, but for those that
//     the manifest has taken away, and what they hold tells which is above
//     which: see repair_order.go.
//  3. Logs become tables, above all others: see repair_log.go.
//  4. A new manifest tells of all that. CURRENT names it by a rename, which is
//     the moment at which the database is repaired.
//
// The originals of all that is replaced go into the directory lost. They have
// two names while their successors are put in place, so that no step leaves
// the directory with less than before: a repair that was killed can be begun
// again.

// RepairConfig is how a database is repaired.
type RepairConfig struct {
	Dir       string
	DryRun    bool // only tell what would be saved and lost
	NoSnappy  bool
	BloomBits int // per key; 0: 10, negative: none
}

// Loss is what could not be saved.
type Loss struct {
	Fault
	Bytes   int64 // -1: not known
	Entries int64 // puts and deletions; -1: not known
}

// RepairReport is what a repair did or, if it was a dry run, would do.
type RepairReport struct {
	Sound  bool // nothing was damaged, and nothing was done
	Levels bool // tables are in the levels in which they were

	Kept       int   // tables that were left as they are
	Salvaged   int   // tables that were damaged, of which something was saved
	Entries    int64 // of both
	Merged     int   // tables that held the same keys in no order, and were merged
	Logs       int   // that became tables
	LogRecords int64 // of them: puts and deletions
	Lost       []Loss
	Archived   []string // files of lost, within the directory

	Tables  int // of the repaired database
	LastSeq format.SeqNum
}

// Repair repairs the database in c.Dir.
// REQUIRES: nobody has it open, and nobody can open it.
func Repair(ctx context.Context, c RepairConfig) (*RepairReport, error) {
	sound, err := Check(ctx, c.Dir)
	if err != nil {
		return nil, err
	}
	if len(sound.Problems) == 0 {
		return &RepairReport{Sound: true, Levels: true, Kept: sound.Tables, Tables: sound.Tables, LastSeq: sound.LastSeq}, nil
	}
	// Read, not mapped: where the disk fails a mapping would lose the whole table.
	r := &repairer{ctx: ctx, c: c, report: new(RepairReport), raw: &tables{dir: c.Dir, fs: vfs.OS, unmaped: true, verify: true}}
	r.fresh()
	defer func() { r.db.tables.close() }()
	if err := r.look(sound.lostEdit); err != nil {
		return nil, err
	}
	if c.DryRun {
		return r.report, nil
	}
	if err := r.write(); err != nil {
		return r.report, err
	}
	after, err := Check(ctx, c.Dir)
	if err == nil && len(after.Problems) > 0 {
		err = fmt.Errorf("the repaired database has %d problems, first %v: %w", len(after.Problems), after.Problems[0], ErrCorrupted)
	}
	if err == nil {
		r.report.Tables, r.report.LastSeq = after.Tables, after.LastSeq
	}
	return r.report, err
}

// repairStep is called before each change of a file. Tests end the repair there.
var repairStep = func() {}

type repairer struct {
	ctx    context.Context
	c      RepairConfig
	report *RepairReport
	db     *DB     // nothing but its tables, those that are sound
	raw    *tables // that may be damaged
	files  *files
	next   format.FileNum // to be given out

	old     *tree  // what could be read of the manifest, or nil
	trusted bool   // tables stay in the levels that it says
	foreign string // its order of keys, if it is not ours
	tables  []*source
	logs    []*logSource
	levels  [numLevels][]*source // of the repaired database
	lastSeq format.SeqNum
	floor   format.SeqNum // what the logs have that is not in tables is newer
}

// source is a table of which something can be read.
type source struct {
	*file
	name     string
	level    int // that the manifest says
	entries  int64
	highest  format.SeqNum
	damaged  bool
	readable int64 // up to where the file is to be read
}

// fresh forgets the open tables: files are about to be replaced.
func (r *repairer) fresh() {
	if r.db != nil {
		r.db.tables.close()
	}
	r.db = &DB{dir: r.c.Dir, tables: &tables{dir: r.c.Dir, fs: vfs.OS, limit: DefaultOpenTables, verify: true}}
}

func (r *repairer) path(name string) string { return filepath.Join(r.c.Dir, name) }

func (r *repairer) lose(file string, offset, bytes, entries int64, reason string) {
	r.report.Lost = append(r.report.Lost, Loss{Fault{file, offset, reason}, bytes, entries})
}

func (r *repairer) newNumber() format.FileNum {
	r.next++
	return r.next - 1
}

// look finds out what there is.
func (r *repairer) look(lostEdit bool) (err error) {
	if r.files, err = listFiles(vfs.OS, r.c.Dir); err != nil {
		return err
	}
	r.next = r.files.highest + 1
	if err := r.readOld(); err != nil {
		return err
	}
	if r.foreign != "" {
		return errForeign(r.foreign)
	}
	r.judge(lostEdit)
	lost := slices.Clip(r.report.Lost)
	if err := r.readTables(); err != nil {
		return err
	}
	if r.trusted && !r.fits() {
		// The tables do not bear it out.
		r.trusted, r.tables = false, nil
		r.report.Lost = lost
		r.report.Kept, r.report.Salvaged, r.report.Entries = 0, 0, 0
		if err := r.readTables(); err != nil {
			return err
		}
	}
	r.report.Levels = r.trusted
	return r.readLogs()
}

// readOld reads the manifest that CURRENT names or, if that says nothing, the
// newest.
func (r *repairer) readOld() error {
	var num format.FileNum
	b, err := vfs.ReadFile(vfs.OS, r.path(currentName))
	if err == nil {
		num, err = manifest.ReadCurrent(b)
	}
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return err
		}
		if nums := numbers(r.files.manifests); len(nums) > 0 {
			num = nums[len(nums)-1]
		}
	}
	name := r.files.manifests[num]
	if name == "" {
		return nil
	}
	f, err := vfs.OS.Open(r.path(name))
	if err != nil {
		return err
	}
	defer f.Close()
	r.old, err = readTree(f, num, name, -1, func(offset int64, reason string) { r.lose(name, offset, -1, -1, reason) })
	if err != nil {
		return eachFault(err, func(offset int64, reason string) { r.lose(name, offset, -1, -1, reason) })
	}
	r.foreign = r.old.foreign
	if r.old.broken {
		r.lose(name, r.old.end, -1, -1, "the last edit is damaged")
	}
	return nil
}

// judge decides whether the manifest says what the database is. A beginning of
// it may look whole, but then tables that later edits took away are missing, and
// those that they added are in no level. lostEdit: one of those has what nothing
// else has.
func (r *repairer) judge(lostEdit bool) {
	t := r.old
	if t == nil || t.damaged || t.edits == 0 || lostEdit {
		return
	}
	used := t.used()
	missing := t.logNumber != 0 && r.files.logs[t.logNumber] == ""
	for num := range used {
		missing = missing || r.files.tables[num] == ""
	}
	strays := t.torn
	for num := range r.files.tables {
		strays = strays || !used[num] && !t.gone[num]
	}
	r.trusted = !missing || !strays
}

// readTables reads all tables that count.
func (r *repairer) readTables() error {
	t := r.old
	add := func(level int, name string, f *file) error {
		s, err := r.examine(name, f)
		if s != nil {
			s.level = level
			r.tables = append(r.tables, s)
			r.lastSeq = max(r.lastSeq, s.highest)
			r.report.Entries += s.entries
			if s.damaged {
				r.report.Salvaged++
			} else {
				r.report.Kept++
			}
		}
		return err
	}
	if t != nil {
		r.lastSeq = max(r.lastSeq, t.lastSeq)
	}
	if r.trusted {
		for level, files := range t.levels {
			for _, f := range files {
				name := r.files.tables[f.Num]
				if name == "" {
					r.lose(format.TableName(f.Num), -1, int64(f.Size), -1,
						fmt.Sprintf("is missing: keys from %s to %s", showKey(f.Smallest), showKey(f.Largest)))
					continue
				}
				if err := add(level, name, f); err != nil {
					return err
				}
			}
		}
		return nil
	}
	known := make(map[format.FileNum]*file)
	if t != nil {
		for level := range t.levels {
			for _, f := range t.levels[level] {
				known[f.Num] = f
				if r.files.tables[f.Num] == "" {
					r.lose(format.TableName(f.Num), -1, int64(f.Size), -1,
						fmt.Sprintf("is missing: keys from %s to %s", showKey(f.Smallest), showKey(f.Largest)))
				}
			}
		}
	}
	for _, num := range numbers(r.files.tables) {
		if t != nil && t.gone[num] {
			continue
		}
		f := known[num]
		if f == nil {
			f = newFile(manifest.FileMeta{Num: num})
		}
		if err := add(-1, r.files.tables[num], f); err != nil {
			return err
		}
	}
	return nil
}

// examine reads a table. It returns nil if there is nothing to save. meta is
// what the manifest says of it, at least the number.
func (r *repairer) examine(name string, meta *file) (*source, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	info, err := os.Stat(r.path(name))
	if err != nil {
		return nil, err
	}
	size, want := info.Size(), int64(meta.Size)
	if size == 0 {
		r.lose(name, -1, want, -1, "is empty")
		return nil, nil
	}
	s := &source{name: name, readable: size}
	try := func(n int64) (bool, error) {
		s.file = newFile(manifest.FileMeta{Num: meta.Num, Size: uint64(n)})
		s.entries, s.highest, s.readable = 0, 0, n
		t, err := r.raw.read(s.file)
		if err == nil {
			t.refs.Store(1)
			err = t.Check(func(key, _ []byte) error {
				if s.note(key); s.entries%lookCtx == 0 {
					return r.ctx.Err()
				}
				return nil
			})
			t.unref()
		}
		if errors.Is(err, fs.ErrPermission) || r.ctx.Err() != nil {
			return false, errors.Join(err, r.ctx.Err())
		}
		return err == nil && s.entries > 0, nil
	}
	ok, err := try(size)
	if err == nil && !ok && want > 0 && want < size {
		if ok, err = try(want); !ok && err == nil {
			// The footer, if any, is where the file ends or where it should end.
			s.readable = size
		}
		ok = false // what follows does not belong there
	}
	if err != nil {
		return nil, err
	}
	if ok {
		return s, nil
	}
	s.damaged = true
	s.file = newFile(manifest.FileMeta{Num: meta.Num})
	s.entries, s.highest = 0, 0
	err = r.salvage(s, func(key, _ []byte) error {
		s.note(key)
		return nil
	}, func(l sstable.Lost) {
		between := ""
		switch {
		case l.After != nil:
			between = fmt.Sprintf(": keys between %s and %s", showKey(l.After), showKey(l.Upto))
		case l.Upto != nil:
			between = fmt.Sprintf(": keys up to %s", showKey(l.Upto))
		}
		r.lose(name, l.Offset, l.Size, -1, l.Reason+between)
	})
	if size < want {
		r.lose(name, size, want-size, -1, fmt.Sprintf("the file ends too early: the manifest says %d bytes", want))
	}
	if s.entries == 0 {
		s = nil
	}
	return s, err
}

// note takes an entry's key into account.
func (s *source) note(key []byte) {
	if s.entries == 0 {
		s.Smallest = append([]byte(nil), key...)
	}
	s.Largest = append(s.Largest[:0], key...)
	s.highest = max(s.highest, format.KeySeq(key))
	s.entries++
}

// salvage reads what can be read of s.
func (r *repairer) salvage(s *source, entry func(ikey, value []byte) error, lost func(sstable.Lost)) error {
	f, err := vfs.OS.Open(r.path(s.name))
	if err != nil {
		return err
	}
	defer f.Close()
	return sstable.Salvage(f, s.readable, s.name, entry, lost)
}

// fits reports whether the tables bear out what the manifest says: no overlaps
// in a level, and what is above is newer.
func (r *repairer) fits() bool {
	t := &tree{name: r.old.name}
	sound := make(map[*file]bool)
	for _, s := range r.tables {
		t.levels[s.level] = append(t.levels[s.level], s.file)
		sound[s.file] = !s.damaged
	}
	for _, files := range t.levels[1:] {
		slices.SortFunc(files, func(a, b *file) int { return format.CompareInternal(a.Smallest, b.Smallest) })
		for i := 1; i < len(files); i++ {
			if format.CompareInternal(files[i-1].Largest, files[i].Smallest) >= 0 {
				return false
			}
		}
	}
	c := newChecker(r.ctx, vfs.OS, r.c.Dir)
	defer c.close()
	err := c.order(t, sound)
	return err == nil && len(c.report.Problems) == 0
}

// write makes the repaired database.
func (r *repairer) write() error {
	if err := r.rewriteTables(); err != nil {
		return err
	}
	if r.trusted {
		for _, s := range r.tables {
			r.levels[s.level] = append(r.levels[s.level], s)
		}
	} else if err := r.arrange(); err != nil {
		return err
	}
	r.sortLevels()
	if err := r.writeLogs(); err != nil {
		return err
	}
	if err := r.install(); err != nil {
		return err
	}
	for _, l := range r.logs {
		if l.damaged {
			if err := r.archive(l.name, true); err != nil {
				return err
			}
		}
	}
	if name := r.oldName(); name != "" {
		if err := r.archive(name, true); err != nil {
			return err
		}
	}
	return vfs.SyncDir(r.c.Dir)
}

func (r *repairer) oldName() string {
	if r.old == nil {
		return ""
	}
	return r.files.manifests[r.old.num]
}

// rewriteTables puts what was saved of damaged tables in their place.
func (r *repairer) rewriteTables() error {
	kept := make(map[string]bool)
	for _, s := range r.tables {
		kept[s.name] = true
		if !s.damaged {
			continue
		}
		t, err := r.newTable(s.Num)
		if err != nil {
			return err
		}
		if err := r.salvage(s, t.add, func(sstable.Lost) {}); err != nil {
			return t.abandon(err)
		}
		meta, err := t.finish()
		if err != nil {
			return err
		}
		if err := r.archive(s.name, false); err != nil {
			return err
		}
		if err := r.place(t.path, s.name); err != nil {
			return err
		}
		s.file, s.damaged = newFile(*meta), false
	}
	// Those of which nothing was saved.
	for _, num := range numbers(r.files.tables) {
		name := r.files.tables[num]
		if kept[name] || r.old != nil && (r.old.gone[num] || r.trusted && !r.old.used()[num]) {
			continue
		}
		if err := r.archive(name, true); err != nil {
			return err
		}
	}
	r.fresh()
	return nil
}

// install writes the new manifest and makes it the current one.
func (r *repairer) install() error {
	log := r.newNumber()
	f, err := os.OpenFile(r.path(format.LogName(log)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		return err
	}
	num := r.newNumber()
	e := &manifest.Edit{
		HasComparator: true, Comparator: format.ComparerName,
		HasLogNumber: true, LogNumber: log, HasPrevLogNumber: true,
		HasNextFile: true, NextFile: r.next, HasLastSeq: true, LastSeq: r.lastSeq,
	}
	for level, sources := range r.levels {
		for _, s := range sources {
			e.Added = append(e.Added, manifest.AddedFile{Level: level, FileMeta: s.FileMeta})
		}
	}
	f, err = os.OpenFile(r.path(format.ManifestName(num)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(wal.AppendRecord(nil, 0, e.Append(nil)))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if r.files.current {
		if err := r.archive(currentName, false); err != nil {
			return err
		}
	}
	repairStep()
	db := &DB{dir: r.c.Dir, fs: vfs.OS, mode: 0o644}
	return db.setCurrent(num)
}

func (r *repairer) newTable(num format.FileNum) (*tableFile, error) {
	o := sstable.WriterOptions{BloomBits: r.c.BloomBits}
	if !r.c.NoSnappy {
		o.Compression = sstable.Snappy
	}
	return newTableFile(vfs.OS, r.path(format.TempName(num)), num, os.O_TRUNC, 0o644, o)
}

// place gives a new file its name.
func (r *repairer) place(temp, name string) error {
	repairStep()
	if err := os.Rename(temp, r.path(name)); err != nil {
		return err
	}
	return vfs.SyncDir(r.c.Dir)
}

// archive gives a file a name in lost. away: it loses the one it has.
func (r *repairer) archive(name string, away bool) error {
	lost := r.path(LostName)
	if err := os.Mkdir(lost, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Not what somebody has put there: a link would lead out of the directory.
	if info, err := os.Lstat(lost); err != nil || !info.IsDir() {
		return errors.Join(err, fmt.Errorf("%s is no directory: %w", lost, ErrInvalid))
	}
	to := name
	for i := 1; ; i++ {
		if _, err := os.Lstat(filepath.Join(lost, to)); errors.Is(err, os.ErrNotExist) {
			break
		} else if err != nil {
			return err
		}
		to = fmt.Sprintf("%s.%d", name, i)
	}
	var err error
	repairStep()
	if away {
		err = os.Rename(r.path(name), filepath.Join(lost, to))
	} else if err = os.Link(r.path(name), filepath.Join(lost, to)); err != nil {
		err = copyFile(r.path(name), filepath.Join(lost, to)) // not every file system has links
	}
	if err == nil {
		r.report.Archived = append(r.report.Archived, LostName+"/"+to)
		err = vfs.SyncDir(lost)
	}
	return err
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
