package party

import (
	"context"
	"fmt"

	"github.com/levelparty/party/internal/leader"
	"github.com/levelparty/party/internal/lsm"
	"github.com/levelparty/party/internal/vfs"
)

// RepairOptions configures Repair. The zero value, and nil, are good for most
// uses.
type RepairOptions struct {
	// DryRun only reports what would be saved and what is lost.
	DryRun bool
	// Compression and BloomBits are those of the tables that are written: see
	// Options.
	Compression Compression
	BloomBits   int
}

// RepairReport is what Repair did or, in a dry run, would do.
type RepairReport struct {
	Path string `json:"path"`
	// Sound: nothing was damaged, and nothing was done.
	Sound bool `json:"sound"`
	// Levels: the manifest could be relied on, so that the tables are in the
	// levels they were in, and tables that it did not have do not count.
	Levels bool `json:"levels"`

	Kept       int   `json:"kept"`       // tables that were sound
	Salvaged   int   `json:"salvaged"`   // tables of which some blocks were
	Entries    int64 `json:"entries"`    // of these tables
	Logs       int   `json:"logs"`       // that were turned into tables
	LogRecords int64 `json:"logRecords"` // puts and deletions of these logs
	// Merged are tables of which one was made of another, or that contradict each
	// other. They were merged. Not known in a dry run.
	Merged int `json:"merged"`

	// Lost is what could not be saved.
	Lost []Loss `json:"lost"`
	// Archived are the originals of what was replaced, in the directory lost.
	Archived []string `json:"archived"`
}

// Loss is a part of a file that could not be read.
type Loss struct {
	Fault
	Bytes   int64 `json:"bytes"`   // -1: not known
	Entries int64 `json:"entries"` // puts and deletions; -1: not known
}

// Repair makes the damaged database in dir one that can be opened, here and by
// every other LevelDB. All that is in sound blocks of tables and in sound records
// of logs is saved, with its sequence number. A sound database is left alone.
//
// Where the newest entry of a key is lost, an older one may come to light, and
// a key whose deletion is lost may be there again.
//
// Nothing is deleted: the originals of damaged files are in the directory lost
// within dir afterwards. There has to be room for both. If a repair is killed,
// begin again.
//
// Errors: ErrLocked if any process has the database open, ErrNotExist;
// ErrInvalid if keys are not ordered by their bytes; errors of the file system,
// as they come. With an error the report tells what was done till then, if
// anything.
func Repair(ctx context.Context, dir string, o *RepairOptions) (RepairReport, error) {
	r, err := repair(ctx, dir, o)
	if err != nil {
		err = fmt.Errorf("party: repair %s: %w", dir, err)
	}
	return r, err
}

func repair(ctx context.Context, dir string, o *RepairOptions) (RepairReport, error) {
	if o == nil {
		o = new(RepairOptions)
	}
	if o.Compression > NoCompression {
		return RepairReport{}, fmt.Errorf("Compression %d: %w", o.Compression, ErrInvalid)
	}
	path, err := vfs.Resolve(dir)
	if err != nil {
		return RepairReport{}, err
	}
	r, err := leader.Repair(ctx, lsm.RepairConfig{
		Dir: path, DryRun: o.DryRun, NoSnappy: o.Compression == NoCompression, BloomBits: o.BloomBits,
	})
	if r == nil {
		return RepairReport{Path: path}, holderOf(path, err)
	}
	report := RepairReport{
		Path: path, Sound: r.Sound, Levels: r.Levels, Kept: r.Kept, Salvaged: r.Salvaged, Entries: r.Entries,
		Logs: r.Logs, LogRecords: r.LogRecords, Merged: r.Merged, Lost: make([]Loss, len(r.Lost)), Archived: append([]string{}, r.Archived...),
	}
	for i, l := range r.Lost {
		report.Lost[i] = Loss{Fault(l.Fault), l.Bytes, l.Entries}
	}
	return report, err
}
