package party

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/levelparty/party/internal/leader"
	"github.com/levelparty/party/internal/lsm"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/wire"
)

// Snapshot is one state of the database, which later writes do not change. It
// must be closed: until then the files it reads are kept. A member's Snapshot
// stays as it is whoever leads, or dies. A guest's is held by its leader: when
// that is gone, so is the Snapshot, and reading from it is ErrSnapshotLost. Safe
// for concurrent use.
type Snapshot struct {
	db *DB

	// Either: the database itself.
	leader *leader.Leader
	state  store.Snapshot
	// Or: the leader's name for it.
	link   *wire.Link
	handle uint64

	once sync.Once
	done chan struct{} // closed by Close
}

// Snapshot pins the present state of the database. A Node leader's protocols
// cannot: ErrNotSupported.
func (db *DB) Snapshot(ctx context.Context) (*Snapshot, error) {
	for {
		local, link, err := db.way(ctx)
		if err != nil {
			return nil, opError("snapshot", err)
		}
		s := &Snapshot{db: db, done: make(chan struct{})}
		switch {
		case local != nil:
			s.leader = local
			if s.state, err = local.Snapshot(); errors.Is(err, store.ErrClosed) {
				if err = db.leaves(ctx, local); err == nil {
					continue
				}
			}
		case link.Proto() != wire.Party:
			err = fmt.Errorf("a %s process leads: %w", link.Proto(), ErrNotSupported)
		default:
			var r wire.Response
			r, err = link.Do(ctx, wire.Request{Op: wire.OpSnapshot})
			if errors.Is(err, ErrConnectionLost) && !db.o.NoRetry {
				<-link.Down()
				if err = db.unlinked(ctx, link); err == nil {
					continue
				}
			}
			s.link, s.handle = link, r.Handle
		}
		if err != nil {
			return nil, opError("snapshot", err)
		}
		return s, nil
	}
}

// unlinked waits until the handle has noticed that link is down.
func (db *DB) unlinked(ctx context.Context, link *wire.Link) error {
	for {
		db.mu.Lock()
		now, changed := db.link, db.changed
		db.mu.Unlock()
		if now != link {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lost gives the errors of a lost leader their name.
func (s *Snapshot) lost(err error) error {
	if errors.Is(err, ErrConnectionLost) || errors.Is(err, store.ErrClosed) {
		select {
		case <-s.done:
			return ErrClosed
		case <-s.db.ctx.Done():
			return ErrClosed
		default:
			return ErrSnapshotLost
		}
	}
	return err
}

func (s *Snapshot) closed() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

func (s *Snapshot) do(ctx context.Context, r wire.Request) (wire.Response, error) {
	if s.closed() {
		return wire.Response{}, ErrClosed
	}
	r.Handle = s.handle
	resp, err := s.link.Do(ctx, r)
	return resp, s.lost(err)
}

// Get returns the value that key had.
func (s *Snapshot) Get(ctx context.Context, key []byte) ([]byte, error) {
	if s.leader != nil {
		v, err := s.leader.Get(key, s.state)
		return v, opError("get", s.lost(err))
	}
	r, err := s.do(ctx, wire.Request{Op: wire.OpGet, Key: key})
	return r.Value, opError("get", err)
}

// Has reports whether key existed.
func (s *Snapshot) Has(ctx context.Context, key []byte) (bool, error) {
	if s.leader != nil {
		ok, err := s.leader.Has(key, s.state)
		return ok, opError("has", s.lost(err))
	}
	r, err := s.do(ctx, wire.Request{Op: wire.OpHas, Key: key})
	return r.More, opError("has", err)
}

// GetMany returns the values that keys had; nil for one that did not exist.
func (s *Snapshot) GetMany(ctx context.Context, keys [][]byte) ([][]byte, error) {
	if s.leader != nil {
		v, err := getManyAt(s.leader, s.state, keys)
		return v, opError("get many", s.lost(err))
	}
	r, err := s.do(ctx, wire.Request{Op: wire.OpGetMany, Keys: keys})
	return r.Values, opError("get many", err)
}

// Seq returns the sequence number of the last write in the state, 0 if it is not
// known: to a guest.
func (s *Snapshot) Seq() uint64 {
	if state, ok := s.state.(*lsm.Snapshot); ok {
		return uint64(state.Seq())
	}
	return 0
}

// Iterator visits the entries of the snapshot. It must be closed.
func (s *Snapshot) Iterator(ctx context.Context, o IteratorOptions) *Iterator {
	return s.db.newIterator(ctx, o, s, nil)
}

// Close frees what the leader holds for the snapshot. Iterators of it end.
func (s *Snapshot) Close() error {
	s.once.Do(func() {
		close(s.done)
		if s.leader != nil {
			s.state.Release()
		} else {
			s.link.Tell(wire.Request{Op: wire.OpReleaseSnapshot, Handle: s.handle})
		}
	})
	return nil
}
