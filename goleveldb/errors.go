package goleveldb

import (
	"context"
	"errors"
	"os"

	leveldberrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/storage"

	"github.com/levelparty/party"
)

// errTransactionDone has the text of goleveldb's, which is not exported either.
var errTransactionDone = errors.New("leveldb: transaction already closed")

// failure gives party's errors the names they have in goleveldb. Programs
// compare these with ==, os.IsExist and errors.IsCorrupted, none of which looks
// inside a wrapped error, so it is goleveldb's own value that is returned.
// Errors without such a name stay as they are.
func (db *DB) failure(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, party.ErrNotFound):
		return ErrNotFound
	case errors.Is(err, party.ErrClosed), errors.Is(err, context.Canceled) && db.closed.Load():
		return ErrClosed
	case errors.Is(err, party.ErrReadOnly):
		return ErrReadOnly
	case errors.Is(err, party.ErrCorrupted):
		return corrupted(err)
	}
	return err
}

// openFailure is failure for OpenFile.
func openFailure(err error) error {
	switch {
	case errors.Is(err, party.ErrExist):
		return os.ErrExist
	case errors.Is(err, party.ErrNotExist):
		return os.ErrNotExist
	case errors.Is(err, party.ErrCorrupted):
		return corrupted(err)
	}
	return err
}

// corrupted returns the damage that goleveldb itself found, if it was met in
// this process, and else one that tells what the leader said.
func corrupted(err error) error {
	var found *leveldberrors.ErrCorrupted
	var stored *storage.ErrCorrupted
	switch {
	case errors.As(err, &found):
		return found
	case errors.As(err, &stored):
		return stored
	}
	return leveldberrors.NewErrCorrupted(storage.FileDesc{}, err)
}
