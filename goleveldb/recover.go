package goleveldb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/vfs"
)

// RecoverFile makes the manifest of a damaged database anew from its tables and
// logs, as goleveldb does, and then opens it as OpenFile does; ErrorIfMissing
// and ErrorIfExist are ignored. The directory must exist.
//
// It works only while nobody has the database open, this process included, and
// is party.ErrLocked otherwise. Who comes to open it meanwhile waits.
func RecoverFile(path string, o *opt.Options) (*DB, error) {
	if _, err := PartyOptions(o); err != nil {
		return nil, err
	}
	if err := recoverFile(path, o); err != nil {
		return nil, err
	}
	after := new(opt.Options)
	if o != nil {
		*after = *o
	}
	after.ErrorIfMissing, after.ErrorIfExist = false, false
	return OpenFile(path, after)
}

func recoverFile(path string, o *opt.Options) error {
	dir, err := vfs.Resolve(path)
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	name := filepath.Join(dir, "LOCK")
	// Both kinds of lock, as a leader holds them: this one, and goleveldb's.
	lock, err := vfs.TryLock(name, false)
	if errors.Is(err, vfs.ErrHeld) {
		return inUse(name)
	}
	if err != nil {
		return err
	}
	db, err := leveldb.RecoverFile(dir, o)
	if err == nil {
		err = db.Close()
	}
	if errors.Is(err, syscall.EAGAIN) {
		err = inUse(name)
	}
	if unlocked := lock.Release(); err == nil {
		err = unlocked
	}
	return err // bare, for errors.IsCorrupted
}

func inUse(lock string) error {
	who := "another process"
	if pid := vfs.Holder(lock); pid != 0 {
		who = fmt.Sprintf("pid %d", pid)
		if program := vfs.ProgramOf(pid); program != "" {
			who += " (" + program + ")"
		}
	}
	return fmt.Errorf("goleveldb: recover: %s is held by %s: %w", lock, who, party.ErrLocked)
}
