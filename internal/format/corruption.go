package format

import (
	"fmt"

	"github.com/levelparty/party/internal/store"
)

// Corruption says where a file is damaged and what should have been there.
// It is a store.ErrCorrupted.
type Corruption struct {
	File   string
	Offset int64
	Reason string
}

func (c *Corruption) Error() string {
	return fmt.Sprintf("%s, offset %d: %s: %v", c.File, c.Offset, c.Reason, store.ErrCorrupted)
}

func (c *Corruption) Unwrap() error { return store.ErrCorrupted }
