package leader

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/lsm"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/vfs"
)

// Repair repairs the database in c.Dir, under both locks. If anybody has it
// open, it is ErrLocked. A dry run makes no file, not even LOCK.
func Repair(ctx context.Context, c lsm.RepairConfig) (_ *lsm.RepairReport, err error) {
	if _, err := os.Stat(c.Dir); err != nil {
		return nil, err
	}
	if !c.DryRun || lockFileThere(c.Dir) {
		claim, err := Take(c.Dir, c.DryRun)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, claim.Release()) }()
	}
	// Members whose LOCK file was removed have an flock on their block.
	path := filepath.Join(c.Dir, coord.Name)
	if f, err := vfs.OpenRegular(path, false); err == nil {
		defer f.Close()
		if err := vfs.FlockFile(f, false); errors.Is(err, vfs.ErrHeld) {
			return nil, fmt.Errorf("%s is in use: %w", path, store.ErrLocked)
		}
	}
	return lsm.Repair(ctx, c)
}
