package lsm

import (
	"io"

	"github.com/levelparty/party/internal/store"
)

// The errors of this package are those of all.
var (
	ErrNotFound  = store.ErrNotFound
	ErrClosed    = store.ErrClosed
	ErrCorrupted = store.ErrCorrupted
	ErrInvalid   = store.ErrInvalid
	ErrTooLarge  = store.ErrTooLarge
	ErrReadOnly  = store.ErrReadOnly
	ErrNotExist  = store.ErrNotExist
	ErrExist     = store.ErrExist
)

func isEOF(err error) bool { return err == io.EOF }
