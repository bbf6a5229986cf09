package lsm

import (
	"bytes"
	"context"
	"errors"
	"os"
	"time"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/manifest"
	"github.com/levelparty/party/internal/vfs"
)

// Check checks the database while this handle, and others, have it open: the
// files of one state, which its view keeps from being removed, the memtables,
// and what the control block says of them. It does not hold up others but for
// the moment in which it looks at the memtable.
// REQUIRES: the handle is a member.
func (db *DB) Check(ctx context.Context) (*CheckReport, error) {
	for {
		c := newChecker(ctx, db.fs, db.dir)
		c.report.Live = true
		again := false
		err := vfs.Guard(func() (err error) {
			again, err = c.live(db)
			return err
		})
		c.close()
		if !again || err != nil {
			return c.report, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// live checks the present state of db. again: it was gone before it could be
// looked at.
func (c *checker) live(db *DB) (again bool, err error) {
	v, _, err := db.acquire()
	if err != nil {
		return false, err
	}
	defer v.release()
	st := db.ctl.State()
	if st.Epoch != v.epoch {
		return true, nil
	}
	// Files that the view does not keep are opened before anything takes time.
	names := []string{format.ManifestName(st.Manifest), format.LogName(st.Log)}
	if st.ImmLog != 0 {
		names = append(names, format.LogName(st.ImmLog))
	}
	lengths := []int64{st.ManifestLen, st.LogLen, st.ImmLen}
	var open []vfs.File
	defer func() {
		for _, f := range open {
			f.Close()
		}
	}()
	for i, name := range names {
		f, err := db.fs.Open(db.path(name))
		if errors.Is(err, os.ErrNotExist) {
			if db.ctl.State().Epoch != st.Epoch {
				return true, nil
			}
			c.problem(name, -1, "is missing: members work with it")
			return false, nil
		}
		if err != nil {
			return false, err
		}
		open = append(open, f)
		size, err := f.Size()
		if err != nil {
			return false, err
		}
		if size < lengths[i] {
			c.problem(name, size, "the file ends before its published length %d", lengths[i])
		}
	}
	if err := c.currentNames(db, &st); err != nil {
		return false, err
	}
	t, err := c.readTree(open[0], st.Manifest, names[0], st.ManifestLen)
	if err != nil {
		return false, err
	}
	if t == nil {
		return false, nil
	}
	if t.end != st.ManifestLen {
		c.problem(t.name, t.end, "the manifest ends before its published length %d", st.ManifestLen)
	}
	c.control(db, v, &st, t)
	if err := c.tree(t); err != nil {
		return false, err
	}
	next := format.SeqNum(0)
	if st.ImmLog != 0 {
		if err := c.log(open[2], names[2], st.ImmLen, t.lastSeq, &next, c.inMemtable(v.imm, names[2])); err != nil {
			return false, err
		}
	}
	if next != 0 && next != st.ImmSeq+1 {
		c.problem(names[2], -1, "ends with write %d, members say %d", next-1, st.ImmSeq)
	}
	if err := c.log(open[1], names[1], st.LogLen, max(t.lastSeq, st.ImmSeq), &next, c.inMemtable(v.mem, names[1])); err != nil {
		return false, err
	}
	if next != 0 && next != st.Seq+1 {
		c.problem(names[1], -1, "ends with write %d, members say %d", next-1, st.Seq)
	}
	c.report.LastSeq = st.Seq
	if v.imm != nil {
		c.memtable(v.imm)
	}
	if err := c.activeMemtable(db, v); err != nil {
		return false, err
	}
	return false, c.leftoversLive()
}

// currentNames checks that CURRENT names the manifest that members work with,
// or soon will: the leader lets it name another before it tells so.
func (c *checker) currentNames(db *DB, st *coord.State) error {
	for try := 0; ; try++ {
		b, err := vfs.ReadFile(db.fs, db.path(currentName))
		if err != nil {
			return eachFault(err, func(offset int64, reason string) { c.problem(currentName, offset, "%s", reason) })
		}
		if bytes.Equal(b, manifest.CurrentContents(st.Manifest)) || db.ctl.State().Manifest != st.Manifest {
			return nil
		}
		if try == 50 {
			c.problem(currentName, 0, "names %q, members work with %s", bytes.TrimSpace(b), format.ManifestName(st.Manifest))
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-c.ctx.Done():
			return c.ctx.Err()
		}
	}
}

// control checks the control block against the files, and the handle's version
// against the manifest.
func (c *checker) control(db *DB, v *view, st *coord.State, t *tree) {
	if int(st.Level0) != len(t.levels[0]) {
		c.problem(coord.Name, -1, "counts %d tables in level 0, the manifest %d", st.Level0, len(t.levels[0]))
	}
	if st.Seq < st.ImmSeq || st.ImmLog >= st.Log {
		c.problem(coord.Name, -1, "log %d ends with write %d, log %d, behind it, with %d", st.ImmLog, st.ImmSeq, st.Log, st.Seq)
	}
	if next := db.ctl.PeekNextFile(); next <= max(st.Log, st.Manifest) {
		c.problem(coord.Name, -1, "gives out file number %d, which is in use", next)
	}
	if err := db.ctl.Failed(); err != nil {
		c.note(coord.Name, -1, "%v", err)
	}
	if err := db.ctl.Trouble(); err != nil {
		c.note(coord.Name, -1, "the leader cannot write tables: %v", err)
	}
	for level, files := range v.version.levels {
		same := len(files) == len(t.levels[level])
		for i := 0; same && i < len(files); i++ {
			same = files[i].Num == t.levels[level][i].Num
		}
		if !same {
			c.problem(t.name, -1, "level %d has %d tables, this process knows %d, or others", level, len(t.levels[level]), len(files))
		}
	}
}

// inMemtable returns a visitor of the batches of a log that looks whether they
// are in its memtable. Others may insert meanwhile: what is published is there.
func (c *checker) inMemtable(m *mem, log string) func(seq format.SeqNum, records []byte) error {
	missing := false
	return func(seq format.SeqNum, records []byte) error {
		for ; len(records) > 0 && !missing; seq++ {
			r, rest, err := format.NextRecord(records)
			if err != nil {
				return err
			}
			records = rest
			kind := format.KindPut
			if r.Delete {
				kind = format.KindDelete
			}
			value, trailer, ok, err := m.Get(r.Key, seq)
			if err != nil {
				missing = true // the rest is not worth looking for
				return eachFault(err, func(offset int64, reason string) { c.problem(format.MemName(m.log), offset, "%s", reason) })
			}
			if !ok || trailer != format.Trailer(seq, kind) || !bytes.Equal(value, r.Value) {
				missing = true
				c.problem(format.MemName(m.log), -1, "write %d of %s is not there, or another", seq, log)
			}
		}
		return nil
	}
}

// memtable checks a memtable that nobody inserts into.
func (c *checker) memtable(m *mem) {
	_ = eachFault(m.Check(), func(offset int64, reason string) { c.problem(format.MemName(m.log), offset, "%s", reason) })
}

const (
	// quiet is for how long a check waits to be alone with the memtable.
	quiet = time.Second
	// maxQuiet is the size up to which a memtable is checked while writers wait:
	// larger ones take too long.
	maxQuiet = 64 << 20
)

// activeMemtable checks the memtable that is written to, while nobody does.
func (c *checker) activeMemtable(db *DB, v *view) error {
	name := format.MemName(v.mem.log)
	if len(v.mem.arena) > maxQuiet {
		c.note(name, -1, "was not looked at as a whole: it is large, and writers would have to wait")
		return nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, quiet)
	defer cancel()
	if err := db.lock(ctx); err != nil {
		if c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		c.note(name, -1, "was not looked at as a whole: %v", err)
		return nil
	}
	defer db.unlock()
	c.memtable(v.mem)
	return nil
}

// leftoversLive notes foreign files. What has a number may be in the making.
func (c *checker) leftoversLive() error {
	l, err := listFiles(c.fs, c.dir)
	if err == nil {
		c.leftovers(nil, l)
	}
	return err
}
