package party

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/levelparty/party/internal/leader"
	"github.com/levelparty/party/internal/lsm"
	"github.com/levelparty/party/internal/vfs"
)

// CheckReport is what Check found.
type CheckReport struct {
	Path string `json:"path"`
	// Live: processes had the database open. Their memory was checked, too.
	Live bool `json:"live"`
	// Problems is damage: something is lost, or would be wrong when read.
	Problems []Fault `json:"problems"`
	// Notes tell what is worth knowing and no damage, such as a last write that
	// was not finished when its process was killed, or a file that is left over.
	Notes []Fault `json:"notes"`

	Tables       int    `json:"tables"`
	Blocks       int64  `json:"blocks"`
	Entries      int64  `json:"entries"` // of the tables: deletions and what is overwritten included
	Logs         int    `json:"logs"`
	Records      int64  `json:"records"` // of the logs: puts and deletions
	Bytes        int64  `json:"bytes"`   // that were read
	LastSequence uint64 `json:"lastSequence"`
}

// Fault is something found at a place of a file.
type Fault struct {
	File   string `json:"file"`   // its name within the directory
	Offset int64  `json:"offset"` // -1: the file as a whole
	Reason string `json:"reason"`
}

// String returns the fault as a line of text.
func (f Fault) String() string { return lsm.Fault(f).String() }

// Err returns nil if the database is sound, or an ErrCorrupted that names the
// problems.
func (r CheckReport) Err() error {
	if len(r.Problems) == 0 {
		return nil
	}
	lines := make([]string, 0, len(r.Problems))
	for _, p := range r.Problems {
		lines = append(lines, p.String())
		if len(lines) == 5 && len(r.Problems) > 5 {
			lines = append(lines, fmt.Sprintf("%d more", len(r.Problems)-5))
			break
		}
	}
	return fmt.Errorf("%s: %w: %s", r.Path, ErrCorrupted, strings.Join(lines, "; "))
}

// Check reads the whole database in dir and reports what is wrong with it. It
// changes nothing. Damage is in the report; the error is what kept Check from
// looking.
//
// Processes that have the database open go on meanwhile, as far as they share
// memory; Check is then one more of them. If nobody has it open, those who come
// wait until it is done, or for as long as their LockTimeout.
//
// Errors: ErrLocked if a process has the database open that shares no memory,
// ErrNotExist, ErrInvalid if keys are not ordered by their bytes; errors of the
// file system, as they come.
func Check(ctx context.Context, dir string) (CheckReport, error) {
	r, err := check(ctx, dir)
	if err != nil {
		err = fmt.Errorf("party: check %s: %w", dir, err)
	}
	return r, err
}

func check(ctx context.Context, dir string) (CheckReport, error) {
	path, err := vfs.Resolve(dir)
	if err != nil {
		return CheckReport{}, err
	}
	r, err := leader.Check(ctx, path, program())
	if err != nil {
		return CheckReport{}, holderOf(path, err)
	}
	return CheckReport{
		Path: path, Live: r.Live,
		Problems: faults(r.Problems), Notes: faults(r.Notes),
		Tables: r.Tables, Blocks: r.Blocks, Entries: r.Entries,
		Logs: r.Logs, Records: r.Records, Bytes: r.Bytes, LastSequence: uint64(r.LastSeq),
	}, nil
}

// holderOf adds to an ErrLocked who holds the lock, where the system tells.
func holderOf(dir string, err error) error {
	lock := filepath.Join(dir, "LOCK")
	pid := vfs.Holder(lock)
	if !errors.Is(err, ErrLocked) || pid == 0 {
		return err
	}
	return fmt.Errorf("%s (held by pid %d, %s): %w", lock, pid, vfs.ProgramOf(pid), err)
}

func faults(l []lsm.Fault) []Fault {
	all := make([]Fault, len(l))
	for i, f := range l {
		all[i] = Fault(f)
	}
	return all
}
