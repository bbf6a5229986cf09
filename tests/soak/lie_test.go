//go:build linux

package soak

import (
	"errors"
	"fmt"

	"github.com/levelparty/party"
)

// errLie is wrapped by the errors that mean a broken promise.
var errLie = errors.New("lie")

func lieOf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errLie, fmt.Sprintf(format, args...))
}

func isAbsent(err error) bool { return errors.Is(err, party.ErrNotFound) }

// ended turns the loss of a snapshot that its leader held into an error that is
// excused. A member holds its snapshots itself.
func (w *worker) ended(err error) error {
	if errors.Is(err, party.ErrSnapshotLost) {
		return errors.Join(errLost, err)
	}
	return once(err)
}

// errLost is joined to ErrSnapshotLost where that is allowed.
var errLost = errors.New("held by a leader")
