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
	"strings"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/manifest"
	"github.com/levelparty/party/internal/vfs"
)

// A check reads everything and changes nothing. Check is for a directory that
// nobody writes to, DB.Check for a member among others: see check_live.go.

// Fault is what was found at a place of a file.
type Fault struct {
	File   string // its name within the directory
	Offset int64  // -1: the file as a whole
	Reason string
}

func (f Fault) String() string {
	if f.Offset < 0 {
		return fmt.Sprintf("%s: %s", f.File, f.Reason)
	}
	return fmt.Sprintf("%s, offset %d: %s", f.File, f.Offset, f.Reason)
}

// CheckReport is what a check found.
type CheckReport struct {
	Live     bool    // beside members, their memory included
	Problems []Fault // damage
	Notes    []Fault // what is worth knowing, and no damage

	Tables  int
	Blocks  int64 // data blocks of tables
	Entries int64 // of tables, old ones and deletions included
	Logs    int
	Records int64 // of logs: puts and deletions
	Bytes   int64 // of what was read
	LastSeq format.SeqNum

	lostEdit bool // the manifest does not tell of a table that has what nothing else has
}

// Names of files that have no number.
const (
	currentName = manifest.CurrentName
	// LostName is the directory into which Repair puts what it could not use.
	LostName = "lost"
)

// Check checks the database in dir. A directory that holds none is ErrNotExist,
// one whose keys have another order ErrInvalid.
// Damage is in the report; the error is what kept Check from looking.
// REQUIRES: nobody writes to dir.
func Check(ctx context.Context, dir string) (*CheckReport, error) { return CheckFS(ctx, vfs.OS, dir) }

func errForeign(comparer string) error {
	return fmt.Errorf("the database orders its keys by %q, this library by %q: %w", comparer, format.ComparerName, ErrInvalid)
}

// CheckFS is Check for a directory of fsys.
func CheckFS(ctx context.Context, fsys vfs.FS, dir string) (*CheckReport, error) {
	c := newChecker(ctx, fsys, dir)
	defer c.close()
	files, err := listFiles(fsys, dir)
	if err != nil {
		return nil, err
	}
	if !files.any() {
		return nil, ErrNotExist
	}
	t, err := c.current(files)
	if err != nil {
		return nil, err
	}
	if t != nil && t.foreign != "" {
		return nil, errForeign(t.foreign)
	}
	if t == nil {
		err = c.strays(files)
	} else if err = c.tree(t); err == nil {
		if err = c.logs(t, files); err == nil && (t.torn || files.logs[t.logNumber] == "") {
			err = c.lostEdits(t, files)
		}
	}
	if err != nil {
		return nil, err
	}
	c.leftovers(t, files)
	return c.report, nil
}

// files are the files of a directory, by kind.
type files struct {
	tables, logs, manifests map[format.FileNum]string
	others                  []string
	highest                 format.FileNum
	current                 bool
}

func listFiles(fsys vfs.FS, dir string) (*files, error) {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	l := &files{
		tables: make(map[format.FileNum]string), logs: make(map[format.FileNum]string), manifests: make(map[format.FileNum]string),
	}
	for _, e := range entries {
		name := e.Name()
		kind, num, ok := format.ParseFileName(name)
		if ok {
			l.highest = max(l.highest, num)
		}
		switch {
		case ok && !slices.Contains([]string{format.TableName(num), format.OldTableName(num), format.LogName(num),
			format.ManifestName(num), format.MemName(num), format.TempName(num)}, name):
			l.others = append(l.others, name) // such as 7.log: nobody looks for that
		case ok && kind == format.FileTable:
			// Of two of one number, readers take the one with today's name.
			if have := l.tables[num]; have != "" {
				l.others = append(l.others, max(have, name))
				name = min(have, name)
			}
			l.tables[num] = name
		case ok && kind == format.FileLog:
			l.logs[num] = name
		case ok && kind == format.FileManifest:
			l.manifests[num] = name
		case name == currentName:
			l.current = true
		default:
			l.others = append(l.others, name)
		}
	}
	return l, nil
}

// any reports whether there is anything of a database.
func (l *files) any() bool {
	return l.current || len(l.tables) > 0 || len(l.logs) > 0 || len(l.manifests) > 0
}

func numbers[T any](m map[format.FileNum]T) []format.FileNum {
	nums := make([]format.FileNum, 0, len(m))
	for n := range m {
		nums = append(nums, n)
	}
	slices.Sort(nums)
	return nums
}

// checker is a check under way.
type checker struct {
	ctx    context.Context
	fs     vfs.FS
	dir    string
	report *CheckReport
	db     *DB // nothing but its tables

	firstSeq format.SeqNum // of the logs that are not in tables; 0: they are empty
}

func newChecker(ctx context.Context, fsys vfs.FS, dir string) *checker {
	return &checker{
		ctx: ctx, fs: fsys, dir: dir, report: new(CheckReport),
		db: &DB{dir: dir, tables: &tables{dir: dir, fs: fsys, limit: DefaultOpenTables, verify: true}},
	}
}

func (c *checker) close() { c.db.tables.close() }

func (c *checker) problem(file string, offset int64, format string, args ...any) {
	c.report.Problems = append(c.report.Problems, Fault{file, offset, fmt.Sprintf(format, args...)})
}

func (c *checker) note(file string, offset int64, format string, args ...any) {
	c.report.Notes = append(c.report.Notes, Fault{file, offset, fmt.Sprintf(format, args...)})
}

// eachFault visits the faults that are joined in err. What is not damage but
// keeps from reading is returned.
func eachFault(err error, visit func(offset int64, reason string)) error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			if err := eachFault(e, visit); err != nil {
				return err
			}
		}
		return nil
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, fs.ErrPermission) {
		return err
	}
	if damage, ok := errors.AsType[*format.Corruption](err); ok {
		visit(damage.Offset, damage.Reason)
	} else {
		visit(-1, err.Error()) // the disk fails, most likely
	}
	return nil
}

// current reads the manifest that CURRENT names. It returns nil if there is
// none that says anything.
func (c *checker) current(l *files) (*tree, error) {
	if !l.current {
		c.problem(currentName, -1, "is missing, though other files are there")
		return nil, nil
	}
	b, err := vfs.ReadFile(c.fs, filepath.Join(c.dir, currentName))
	var num format.FileNum
	if err == nil {
		num, err = manifest.ReadCurrent(b)
	}
	if err != nil {
		return nil, eachFault(err, func(offset int64, reason string) { c.problem(currentName, offset, "%s", reason) })
	}
	if l.manifests[num] == "" {
		c.problem(currentName, -1, "names %s, which is missing", format.ManifestName(num))
		return nil, nil
	}
	name := l.manifests[num]
	f, err := c.fs.Open(filepath.Join(c.dir, name))
	if err != nil {
		return nil, eachFault(err, func(offset int64, reason string) { c.problem(name, offset, "%s", reason) })
	}
	defer f.Close()
	t, err := c.readTree(f, num, name, -1)
	if t != nil && t.broken {
		c.problem(name, t.end, "the last edit is damaged")
	} else if t != nil && t.torn {
		c.note(name, t.end, "an edit was begun and not finished, which a crash leaves")
	}
	return t, err
}

func (c *checker) readTree(f io.ReaderAt, num format.FileNum, name string, limit int64) (*tree, error) {
	t, err := readTree(f, num, name, limit, func(offset int64, reason string) { c.problem(name, offset, "%s", reason) })
	if err != nil || t.edits == 0 {
		return nil, err
	}
	c.report.Bytes += t.end
	c.report.LastSeq = t.lastSeq
	return t, nil
}

// tree checks what t says against the tables.
func (c *checker) tree(t *tree) error {
	sound := make(map[*file]bool)
	for level, files := range t.levels {
		for _, f := range files {
			if f.Num >= t.nextFile {
				c.problem(t.name, -1, "table %d has a number that is yet to be given out, from %d on", f.Num, t.nextFile)
			}
			ok, err := c.table(level, f, t.lastSeq)
			if err != nil {
				return err
			}
			sound[f] = ok
		}
	}
	return c.order(t, sound)
}

// lostEdits looks whether the manifest, or the log that it names, had more to
// tell than what is left of it: tables that no level has hold writes then that
// are newer than its version, and in no log. What a crash left unfinished is in
// logs, or in other tables.
func (c *checker) lostEdits(t *tree, l *files) error {
	used := t.used()
	for _, num := range numbers(l.tables) {
		if used[num] || t.gone[num] {
			continue
		}
		info, err := c.fs.Stat(filepath.Join(c.dir, l.tables[num]))
		if err != nil {
			return err
		}
		lost := format.SeqNum(0)
		_ = vfs.Guard(func() error {
			table, err := c.db.tables.read(newFile(manifest.FileMeta{Num: num, Size: uint64(info.Size())}))
			if err != nil {
				return err
			}
			table.refs.Store(1)
			defer table.unref()
			return table.Check(func(key, _ []byte) error {
				if seq := format.KeySeq(key); seq > t.lastSeq && (seq < c.firstSeq || seq > c.report.LastSeq) {
					lost = max(lost, seq)
				}
				return nil
			})
		})
		if lost > 0 {
			c.report.lostEdit = true
			c.problem(l.tables[num], -1, "is in no level and has write %d, which nothing else has: the manifest has lost an edit", lost)
		}
	}
	return c.ctx.Err()
}

// strays checks the tables and logs that a lost manifest does not tell of.
func (c *checker) strays(l *files) error {
	for _, num := range numbers(l.tables) {
		info, err := c.fs.Stat(filepath.Join(c.dir, l.tables[num]))
		if err != nil {
			return err
		}
		f := newFile(manifest.FileMeta{Num: num, Size: uint64(info.Size())})
		if _, err := c.table(-1, f, format.MaxSeqNum); err != nil {
			return err
		}
	}
	for _, num := range numbers(l.logs) {
		f, err := c.fs.Open(filepath.Join(c.dir, l.logs[num]))
		if err != nil {
			return err
		}
		next := format.SeqNum(0)
		err = c.log(f, l.logs[num], -1, format.MaxSeqNum, &next, nil)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// lookCtx is how many entries are read between two looks at the context.
const lookCtx = 4096

// table checks one table. It reports whether all of it can be read, in order.
// With a level of -1 the manifest says nothing of it.
func (c *checker) table(level int, f *file, last format.SeqNum) (sound bool, err error) {
	if err := c.ctx.Err(); err != nil {
		return false, err
	}
	name := format.TableName(f.Num)
	info, err := c.fs.Stat(filepath.Join(c.dir, name))
	if errors.Is(err, os.ErrNotExist) {
		if info, err = c.fs.Stat(filepath.Join(c.dir, format.OldTableName(f.Num))); err == nil {
			name = format.OldTableName(f.Num)
		}
	}
	before := len(c.report.Problems)
	report := func(offset int64, reason string) { c.problem(name, offset, "%s", reason) }
	switch {
	case errors.Is(err, os.ErrNotExist):
		c.problem(name, -1, "is missing: level %d has it", level)
		return false, nil
	case err != nil:
		return false, eachFault(err, report)
	case info.Size() < int64(f.Size):
		c.problem(name, info.Size(), "the file ends too early: the manifest says %d bytes", f.Size)
		return false, nil
	case info.Size() > int64(f.Size):
		c.problem(name, int64(f.Size), "the file goes on, up to %d bytes, where the manifest says that it ends", info.Size())
	}
	c.report.Tables++
	c.report.Bytes += info.Size()
	if f.Size == 0 {
		c.problem(name, -1, "is empty")
		return false, nil
	}
	var smallest, largest []byte
	n := int64(0)
	highest := format.SeqNum(0)
	err = vfs.Guard(func() error {
		t, err := c.db.tables.read(f)
		if err != nil {
			return err
		}
		t.refs.Store(1)
		defer t.unref()
		var ended error
		err = t.Check(func(key, _ []byte) error {
			if n == 0 {
				smallest = append(smallest, key...)
			}
			largest = append(largest[:0], key...)
			highest = max(highest, format.KeySeq(key))
			if n++; n%lookCtx == 0 && ended == nil {
				ended = c.ctx.Err()
			}
			return ended
		})
		if ended != nil {
			return ended
		}
		c.report.Blocks += int64(t.Blocks())
		return err
	})
	c.report.Entries += n
	if err := eachFault(err, report); err != nil {
		return false, err
	}
	sound = len(c.report.Problems) == before
	if n == 0 {
		if sound {
			c.problem(name, -1, "has no entries")
		}
		return false, nil
	}
	if highest > last {
		c.problem(name, -1, "has sequence number %d, the manifest's last is %d", highest, last)
	}
	if level >= 0 && sound {
		if string(smallest) != string(f.Smallest) {
			c.problem(name, -1, "begins with %s, the manifest says %s", showKey(smallest), showKey(f.Smallest))
		}
		if string(largest) != string(f.Largest) {
			c.problem(name, -1, "ends with %s, the manifest says %s", showKey(largest), showKey(f.Largest))
		}
	}
	return sound, nil
}

// showKey shows an internal key, not all of a long one.
func showKey(ikey []byte) string {
	user, more := format.UserKey(ikey), ""
	if len(user) > 40 {
		user, more = user[:40], "..."
	}
	kind := "put"
	if format.KeyKind(ikey) == format.KindDelete {
		kind = "deletion"
	}
	return fmt.Sprintf("%q%s (%s %d)", user, more, kind, format.KeySeq(ikey))
}

// leftovers notes the files that are no part of the database. t is nil if it
// is not known what is.
func (c *checker) leftovers(t *tree, l *files) {
	if t != nil {
		used := t.used()
		for _, num := range numbers(l.tables) {
			if !used[num] {
				c.note(l.tables[num], -1, "is in no level: an unfinished compaction left it, or one whose tables were still read")
			}
		}
		for _, num := range numbers(l.manifests) {
			if num != t.num {
				c.note(l.manifests[num], -1, "is not the manifest in use")
			}
		}
	}
	for _, name := range l.others {
		kind, _, ok := format.ParseFileName(name)
		switch {
		case ok && kind == format.FileMem || name == "party.shm" || name == "party.shm.tmp":
			if !c.report.Live {
				c.note(name, -1, "was left by processes that were killed; whoever opens the database next replaces it")
			}
		case ok && kind == format.FileTemp:
			if !c.report.Live {
				c.note(name, -1, "was not finished")
			}
		case ok && kind == format.FileTable:
			c.note(name, -1, "is not read: there is a table of that number")
		case name == LostName:
			c.note(name, -1, "holds what a repair could not use")
		case !knownName(name):
			c.note(name, -1, "is no file of a database")
		}
	}
}

// knownName reports whether a file without a number belongs in the directory.
func knownName(name string) bool {
	switch name {
	case "LOCK", "LOG", "LOG.old":
		return true
	}
	return strings.HasPrefix(name, "party.") || strings.HasSuffix(name, ".sock")
}
