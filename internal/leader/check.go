package leader

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/levelparty/party/internal/lsm"
	"github.com/levelparty/party/internal/store"
)

const (
	// checkPatience is for how long Check waits for who is just opening or
	// leaving the database.
	checkPatience = time.Second
	checkPoll     = 5 * time.Millisecond
)

// Check checks the database in dir. If nobody has it open it holds a shared
// lock meanwhile; else it looks as one more member. It makes no file. A process
// that holds the lock alone, a socket's leader or a stranger, is ErrLocked.
func Check(ctx context.Context, dir, program string) (*lsm.CheckReport, error) {
	for start := time.Now(); ; {
		if !lockFileThere(dir) {
			// A copy, or somebody removed it. Nobody can hold what is not there.
			r, err := lsm.Check(ctx, dir)
			if !lockFileThere(dir) {
				return r, err
			}
			continue // somebody came meanwhile
		}
		claim, err := Take(dir, true)
		if err == nil {
			r, err := lsm.Check(ctx, dir)
			return r, errors.Join(err, claim.Release())
		}
		if !errors.Is(err, store.ErrLocked) {
			return nil, err
		}
		l, joinErr := Join(ctx, dir, program, true, lsm.Config{Cache: -1})
		if joinErr == nil {
			r, err := l.db.Check(ctx)
			return r, errors.Join(err, l.Close())
		}
		if !errors.Is(joinErr, ErrNobody) && !errors.Is(joinErr, store.ErrLocked) && !errors.Is(joinErr, errors.ErrUnsupported) {
			return nil, joinErr
		}
		if time.Since(start) > checkPatience {
			return nil, err
		}
		select {
		case <-time.After(checkPoll):
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		}
	}
}

func lockFileThere(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "LOCK"))
	return err == nil
}
