package store

import "errors"

// The sentinels of the public package, which documents them.
var (
	ErrNotFound       = errors.New("party: not found")
	ErrClosed         = errors.New("party: closed")
	ErrLocked         = errors.New("party: database is locked by another program")
	ErrReadOnly       = errors.New("party: read only")
	ErrConnectionLost = errors.New("party: connection to the leader lost")
	ErrSnapshotLost   = errors.New("party: snapshot lost with its leader")
	ErrCorrupted      = errors.New("party: corrupted data")
	ErrNotSupported   = errors.New("party: not supported by the leader's protocol")
	ErrTooLarge       = errors.New("party: message too large")
	ErrInvalid        = errors.New("party: invalid argument")
	ErrNotExist       = errors.New("party: database does not exist")
	ErrExist          = errors.New("party: database already exists")
	ErrNoLeader       = errors.New("party: no leader")
	ErrWriteFailed    = errors.New("party: writes are refused since one has failed")
)
