package party

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/levelparty/party/internal/leader"
	"github.com/levelparty/party/internal/lsm"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/vfs"
	"github.com/levelparty/party/internal/wire"
)

// DB is a handle on a shared database. It is safe for concurrent use.
type DB struct {
	// Constant after Open.
	dir    string // absolute, links resolved
	o      Options
	client store.ClientID
	log    *slog.Logger
	ctx    context.Context // ends with Close
	stop   context.CancelFunc
	ended  chan struct{} // closed when the election loop has returned
	calls  *wire.Calls
	room   *semaphore.Weighted // bounds what waits in calls
	begin  chan struct{}       // a token: one Begin at a time

	// local is the open database while this handle leads or is a member, and
	// else nil: the way that its own calls then take.
	local atomic.Pointer[leader.Leader]

	mu      sync.Mutex
	role    Role
	link    *wire.Link    // to the leader, while this handle is a guest
	peer    vfs.Peer      // at the other end of link
	greeted wire.Hello    // what a Go leader told of itself
	hosting *hosting      // while this handle leads
	since   time.Time     // of the role
	blocked error         // calls fail with it instead of waiting
	apart   error         // why the handle is no member
	changed chan struct{} // closed and replaced when anything above changes
	news    []Role        // not yet told to OnRole

	closing sync.Once
	closed  error
}

const (
	// maxWaiting bounds the memory of the calls of one handle that wait for an
	// answer, as counted by cost.
	maxWaiting = 64 << 20
	// callCost is what a call costs at least, so that there are never more
	// than maxWaiting/callCost at a time: fewer than leader.MaxWindow.
	callCost = 4 << 10

	defaultLockTimeout = 5 * time.Second
)

// Open returns a handle on the LevelDB database in the directory dir, whatever
// other processes do with it. Where processes can share memory, on Linux, the
// handle is a member: it has the database open itself, beside others. One of the
// members leads; soon after Open the first one does. Else the handle is a guest
// of the process that has the database open or, if none has, opens it and serves
// the others. When a leader is gone the next is found, and what waits goes on.
//
// Open returns when the handle can be used. ctx bounds that wait alone. Options
// may be nil.
//
// Errors: ErrLocked, ErrNotExist, ErrExist, ErrCorrupted, ErrInvalid; errors of
// the file system, as they come.
func Open(ctx context.Context, dir string, o *Options) (*DB, error) {
	db, err := open(ctx, dir, o)
	if err != nil {
		return nil, fmt.Errorf("party: open %s: %w", dir, err)
	}
	return db, nil
}

func open(ctx context.Context, dir string, o *Options) (*DB, error) {
	if o == nil {
		o = new(Options)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	db := &DB{
		o:       *o,
		log:     o.Logger,
		ended:   make(chan struct{}),
		calls:   wire.NewCalls(),
		room:    semaphore.NewWeighted(maxWaiting),
		begin:   make(chan struct{}, 1),
		changed: make(chan struct{}),
		since:   time.Now(),
	}
	if db.log == nil {
		db.log = slog.New(slog.DiscardHandler)
	}
	if db.o.LockTimeout == 0 {
		db.o.LockTimeout = defaultLockTimeout
	}
	if db.o.MaxMessage == 0 {
		db.o.MaxMessage = wire.DefaultMaxFrame
	}
	rand.Read(db.client[:])
	if err := db.prepareDir(dir); err != nil {
		return nil, err
	}
	db.ctx, db.stop = context.WithCancel(context.Background())
	seat, err := db.joinAfter(ctx, 0, true)
	if err != nil {
		db.stop()
		close(db.ended)
		return nil, err
	}
	if o.OnRole != nil {
		go db.tellRoles()
	}
	go db.run(seat)
	if _, _, err := db.way(context.WithoutCancel(ctx)); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// prepareDir finds, or makes, the directory.
func (db *DB) prepareDir(dir string) error {
	if dir == "" {
		return fmt.Errorf("no directory: %w", ErrInvalid)
	}
	var err error
	if db.dir, err = vfs.Resolve(dir); err != nil {
		return err
	}
	info, err := os.Stat(db.dir)
	if err == nil && !info.IsDir() {
		return fmt.Errorf("not a directory: %w", ErrInvalid)
	}
	exists := false
	if err == nil {
		if exists, err = lsm.Exists(db.dir); err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	switch {
	case !exists && (db.o.MustExist || db.o.ReadOnly):
		return ErrNotExist
	case exists && db.o.MustNotExist:
		return ErrExist
	}
	return os.MkdirAll(db.dir, 0o777)
}

func (o *Options) check() error {
	switch {
	case o.MustExist && o.MustNotExist:
		return fmt.Errorf("MustExist and MustNotExist exclude each other: %w", ErrInvalid)
	case o.ReadOnly && o.MustNotExist:
		return fmt.Errorf("ReadOnly and MustNotExist exclude each other: %w", ErrInvalid)
	case o.Lead > LeadNever:
		return fmt.Errorf("Lead %d: %w", o.Lead, ErrInvalid)
	case o.Compression > NoCompression:
		return fmt.Errorf("Compression %d: %w", o.Compression, ErrInvalid)
	case o.MaxMessage < 0 || o.WriteBuffer < 0 || o.MaxOpenFiles < 0:
		return fmt.Errorf("negative size: %w", ErrInvalid)
	case o.MaxMessage > 1<<30:
		return fmt.Errorf("MaxMessage %d, limit %d: %w", o.MaxMessage, 1<<30, ErrInvalid)
	}
	return nil
}

func (o *Options) engine() lsm.Config {
	return lsm.Config{
		ReadOnly:     o.ReadOnly,
		MustExist:    o.MustExist,
		MustNotExist: o.MustNotExist,
		Cache:        o.Cache,
		WriteBuffer:  o.WriteBuffer,
		MaxOpenFiles: o.MaxOpenFiles,
		NoSnappy:     o.Compression == NoCompression,
		BloomBits:    o.BloomBits,
		Retention:    o.Retention,
		Log:          o.Logger,

		VerifyChecksums: o.VerifyChecksums,
	}
}

// Path returns the database's directory, absolute and with links resolved.
func (db *DB) Path() string { return db.dir }

// Role returns the part the handle plays at present.
func (db *DB) Role() Role {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.role
}

// Close gives the handle up. Calls that wait fail with ErrClosed. If the handle
// leads, the database is closed, and another process takes over.
func (db *DB) Close() error {
	db.closing.Do(func() {
		db.mu.Lock()
		db.changeLocked(Closed)
		db.mu.Unlock()
		db.stop()
		<-db.ended
		db.failWaiting(ErrClosed)
	})
	return db.closed
}

// changeLocked sets the role and wakes who waits for a change.
func (db *DB) changeLocked(r Role) {
	if db.role == Closed {
		db.wakeLocked() // who waits for something else to have changed
		return
	}
	if db.role != r {
		db.role, db.since = r, time.Now()
		db.log.Info("role", "role", r.String(), "path", db.dir)
		if db.o.OnRole != nil {
			db.news = append(db.news, r)
		}
	}
	db.wakeLocked()
}

func (db *DB) wakeLocked() {
	close(db.changed)
	db.changed = make(chan struct{})
}

// tellRoles calls OnRole for each change, until it has told of the end.
func (db *DB) tellRoles() {
	for {
		db.mu.Lock()
		news, changed := db.news, db.changed
		db.news = nil
		db.mu.Unlock()
		for _, r := range news {
			db.o.OnRole(r)
			if r == Closed {
				return
			}
		}
		if len(news) == 0 {
			<-changed
		}
	}
}

// failWaiting fails the calls that could be sent to any leader.
func (db *DB) failWaiting(err error) {
	for _, c := range db.calls.Waiting() {
		if c.Bound == nil && db.calls.Take(c.ID) != nil {
			c.Finish(err)
		}
	}
}
