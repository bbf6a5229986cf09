package party

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/levelparty/party/internal/leader"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/vfs"
	"github.com/levelparty/party/internal/wire"
)

type listener struct {
	*vfs.Listener
	proto wire.Proto
}

// hosting is what a handle does for others while it leads.
type hosting struct {
	*leader.Leader
	db        *DB
	since     time.Time
	host      wire.Host
	listeners []listener
	makeWay   chan struct{} // closed when the lead shall be handed over

	mu     sync.Mutex
	guests map[net.Conn]*guest
	full   bool     // the last who came found no place
	toward net.Conn // the guest that shall lead next
}

// guest is a process at one of the sockets.
type guest struct {
	proto wire.Proto
	peer  vfs.Peer
	hello wire.Hello
	since time.Time
}

// lead hosts until the handle is closed, hands over, or can no longer write.
// It returns how long the handle should leave the lead to others.
func (db *DB) lead(s *seat) (wait time.Duration) {
	h := &hosting{
		Leader:    s.leader,
		db:        db,
		since:     time.Now(),
		listeners: s.listeners,
		makeWay:   make(chan struct{}),
		guests:    make(map[net.Conn]*guest),
	}
	h.host = wire.Host{Store: h, MaxFrame: db.o.MaxMessage, Admin: h, Logger: db.log}

	// What waits comes first, in the order in which it was asked: a write that
	// went to the leader before must not be overtaken by a later one.
	var done []*wire.Call
	for {
		done = append(done, db.carryOut(h.Leader)...)
		db.mu.Lock()
		if db.role == Closed || !db.calls.Unbound() {
			break
		}
		db.mu.Unlock()
	}
	db.local.Store(h.Leader)
	db.hosting, db.blocked = h, nil
	if db.o.ReadOnly {
		db.changeLocked(Reading)
	} else {
		db.changeLocked(Leader)
	}
	db.mu.Unlock()
	for _, c := range done {
		c.Finish(c.Err) // who asks for the role then is told the new one
	}

	// Not db.ctx: when the handle is closed the sockets' names go first.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var serving sync.WaitGroup
	serve := func(l listener) {
		serving.Add(1)
		go func() {
			defer serving.Done()
			h.accept(ctx, l, &serving)
		}()
	}
	for _, l := range h.listeners {
		serve(l)
	}
	failed := h.Failed()
	if h.Shared() {
		failed = nil // all members have to leave before it can be opened again
	}
	guard := time.NewTicker(time.Second)
	defer guard.Stop()
	for over := false; !over; {
		select {
		case <-db.ctx.Done():
			over = true
		case <-h.makeWay:
			over, wait = true, headStart
		case <-failed:
			db.log.Error("a write failed; opening the database again", "path", db.dir)
			over = true
		case <-guard.C:
			h.guardSockets(serve)
		}
	}

	db.mu.Lock()
	db.hosting = nil
	if h.Shared() {
		db.changeLocked(Member)
	} else {
		db.local.Store(nil)
		db.changeLocked(Electing)
	}
	db.mu.Unlock()
	// The sockets' names go while the lock is held, and the connections before
	// the database does: a guest is not told that it is closed, but looks for
	// the next leader. Its own protocol's goes last: nobody shall find only those
	// of Node processes and take it for one.
	for _, l := range slices.Backward(h.listeners) {
		l.Close()
	}
	h.mu.Lock()
	for conn := range h.guests {
		if wait > 0 && conn != h.toward {
			h.host.Goodbye(conn, headStart)
		}
		conn.Close()
	}
	h.mu.Unlock()
	cancel()
	serving.Wait()
	if h.Shared() {
		h.Resign()
		return wait
	}
	if err := errors.Join(h.Leader.Close(), s.door.Release()); err != nil {
		db.log.Error("close", "path", db.dir, "reason", err)
		if db.ctx.Err() != nil {
			db.closed = err
		}
	}
	return wait
}

func (h *hosting) accept(ctx context.Context, l listener, serving *sync.WaitGroup) {
	for pause := firstPause; ctx.Err() == nil; {
		conn, peer, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			// Another user, or out of descriptors: neither ends the hosting.
			h.db.log.Warn("refused a connection", "protocol", l.proto.String(), "reason", err)
			if !errors.Is(err, vfs.ErrForeign) {
				_ = sleep(ctx, pause)
				pause = min(2*pause, idlePause)
			}
			continue
		}
		pause = firstPause
		if !h.admit(conn, &guest{proto: l.proto, peer: peer, since: time.Now()}) {
			conn.Close() // it tries again, as if nobody led
			continue
		}
		serving.Add(1)
		go func() {
			defer serving.Done()
			_ = h.host.Serve(ctx, conn, l.proto) // logged there
			h.mu.Lock()
			delete(h.guests, conn)
			h.mu.Unlock()
		}()
	}
}

// maxGuests bounds the guests of a leader, and so does half of the descriptors
// that it may have: it needs some for the database.
const maxGuests = 4096

// admit takes a guest in, if there is place.
func (h *hosting) admit(conn net.Conn, g *guest) bool {
	limit := min(maxGuests, vfs.MaxOpen()/2)
	h.mu.Lock()
	defer h.mu.Unlock()
	full := len(h.guests) >= limit
	if full && !h.full { // once, and not for each who tries again
		h.db.log.Warn("refused a connection", "protocol", g.proto.String(), "reason", "too many guests", "limit", limit)
	}
	if h.full = full; !full {
		h.guests[conn] = g
	}
	return !full
}

// guardSockets binds a socket again whose name has gone: a Node process that
// led before removes it when it closes, which can be late.
func (h *hosting) guardSockets(serve func(listener)) {
	for i, l := range h.listeners {
		if l.Bound() {
			continue
		}
		again, err := vfs.Listen(h.db.dir, l.proto.String())
		if err != nil {
			h.db.log.Warn("cannot host", "protocol", l.proto.String(), "reason", err)
			continue
		}
		h.db.log.Info("bound a socket again that was removed", "protocol", l.proto.String())
		l.Close()
		h.listeners[i].Listener = again
		serve(h.listeners[i])
	}
}

// Welcome implements wire.Admin.
func (h *hosting) Welcome(conn net.Conn, hello wire.Hello) wire.Hello {
	h.mu.Lock()
	if g := h.guests[conn]; g != nil {
		g.hello = hello
	}
	h.mu.Unlock()
	db := h.db
	lead := Lead(hello.Lead)
	switch {
	case lead == LeadNever:
	case h.Shared() && !hello.Member:
		// It cannot lead while members are in: the lead would come back at once.
	case db.o.ReadOnly && !hello.ReadOnly,
		db.o.Lead == LeadLast && lead != LeadLast && !hello.ReadOnly,
		db.o.Lead != LeadFirst && lead == LeadFirst && !hello.ReadOnly:
		h.handOver(conn)
	}
	return wire.Hello{PID: os.Getpid(), Program: program(), Since: h.since.UnixMilli()}
}

// handOver makes way for the guest behind conn.
func (h *hosting) handOver(conn net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.toward == nil {
		h.toward = conn
		h.Leave()
		close(h.makeWay)
	}
}

func (db *DB) hello() wire.Hello {
	return wire.Hello{
		Client:   db.client,
		PID:      os.Getpid(),
		Program:  program(),
		Lead:     uint8(db.o.Lead),
		ReadOnly: db.o.ReadOnly,
		Member:   db.local.Load() != nil,
	}
}

func program() string { return filepath.Base(os.Args[0]) }

// Status implements wire.Admin.
func (h *hosting) Status() []byte {
	b, err := json.Marshal(h.status())
	if err != nil {
		h.db.log.Error("status", "reason", err)
	}
	return b
}

// carryOut does the calls that wait, as the leader that the handle is about to
// be, and returns them, to be finished. A compaction takes long, and nothing
// depends on its place among the others.
func (db *DB) carryOut(l *leader.Leader) (done []*wire.Call) {
	for _, c := range db.calls.Waiting() {
		if c.Bound != nil || db.calls.Take(c.ID) == nil {
			continue
		}
		if c.Op == wire.OpCompact {
			go func() { c.Finish(db.asClosed(l.CompactRange(db.ctx, c.Bounds))) }()
			continue
		}
		c.Response, c.Err = db.execute(db.ctx, l, c.ID, &c.Request)
		c.Err = db.asClosed(c.Err)
		done = append(done, c)
	}
	return done
}

// asClosed returns ErrClosed for the error of a call that ended with the handle's
// context, which is not the caller's.
func (db *DB) asClosed(err error) error {
	if db.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return ErrClosed
	}
	return err
}

// execute does one request on the database itself. A write whose first copy
// another leader has applied is not applied again.
func (db *DB) execute(ctx context.Context, l *leader.Leader, id uint64, r *wire.Request) (resp wire.Response, err error) {
	identity := store.Identity{Client: db.client, ID: id, Floor: r.Floor}
	switch r.Op {
	case wire.OpGet:
		resp.Value, err = l.Get(r.Key, nil)
	case wire.OpHas:
		resp.More, err = l.Has(r.Key, nil)
	case wire.OpGetMany:
		resp.Values, err = getMany(l, r.Keys)
	case wire.OpPut, wire.OpDelete, wire.OpBatch:
		w, err := wire.WriteOf(r, identity)
		if err != nil {
			return resp, err
		}
		l.Commit(ctx, []*store.Write{w})
		return resp, w.Err
	case wire.OpClear:
		resp.Count, resp.More, err = l.Clear(ctx, store.Clear{Bounds: r.Bounds, Reverse: r.Reverse,
			Limit: r.Limit, Sync: r.Sync, Identity: identity})
	case wire.OpCompact:
		err = l.CompactRange(ctx, r.Bounds)
	case wire.OpSize:
		resp.Count, err = l.ApproximateSize(r.Bounds)
	case wire.OpProperty:
		var v string
		v, err = l.Property(r.Name)
		resp.Value = []byte(v)
	default:
		err = store.ErrNotSupported
	}
	return resp, err
}
