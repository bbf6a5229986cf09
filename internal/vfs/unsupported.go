package vfs

import (
	"errors"
	"fmt"
)

// ErrNotSupported is returned for what this system, or the file system at
// hand, cannot do. It is an errors.ErrUnsupported.
var ErrNotSupported = fmt.Errorf("not supported on this system: %w", errors.ErrUnsupported)
