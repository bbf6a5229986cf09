package coord

import (
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/levelparty/party/internal/store"
)

var (
	// ErrFailed: a write failed somewhere, after which nothing is certain.
	// Nobody may write until all members have left and the database is opened
	// again.
	ErrFailed = store.ErrWriteFailed
	// ErrNotTried: a sync was not even begun, so that nothing is lost.
	ErrNotTried = errors.New("party: not synced")
	// ErrLayout: those who are in are of another version of this package.
	ErrLayout = errors.New("party: members are of another version")
	// ErrOptions: those who are in have opened the database with other options.
	ErrOptions = errors.New("party: members use other options")
	// ErrFull: all slots are taken.
	ErrFull = errors.New("party: too many members")
	// ErrBlockLost: members are in, but their control block is not there, or it
	// is not theirs: somebody removed it, or the LOCK file.
	ErrBlockLost = errors.New("party: control block is lost")
)

// FailCode says what failed.
type FailCode uint32

// The engine may use others.
const (
	FailSync FailCode = 1 + iota
	FailWrite
	FailRepair
)

func (f FailCode) String() string {
	switch f {
	case FailSync:
		return "sync"
	case FailWrite:
		return "write"
	case FailRepair:
		return "repair"
	}
	return fmt.Sprintf("step %d", uint32(f))
}

// Fail makes all members refuse writes. The first failure counts.
func (c *Control) Fail(code FailCode) {
	v := uint64(os.Getpid())<<32 | uint64(code)
	c.b.head.failed.CompareAndSwap(0, v)
	c.WakeAll()
}

// Failed returns nil, or an ErrFailed that tells what failed and where.
func (c *Control) Failed() error {
	v := c.b.head.failed.Load()
	if v == 0 {
		return nil
	}
	return fmt.Errorf("%w: %v in process %d", ErrFailed, FailCode(v&math.MaxUint32), v>>32)
}
