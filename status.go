package party

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/levelparty/party/internal/leader"
	"github.com/levelparty/party/internal/vfs"
	"github.com/levelparty/party/internal/wire"
)

// Status tells who serves the database and how it does.
type Status struct {
	Path     string    `json:"path"`
	Role     Role      `json:"role"`               // of this handle
	Since    time.Time `json:"since"`              // when it took that role
	Protocol string    `json:"protocol,omitempty"` // by which a guest reaches the leader
	Apart    string    `json:"apart,omitempty"`    // why this handle shares no memory
	Leader   Process   `json:"leader"`
	Members  []Process `json:"members,omitempty"` // that share memory, the leader among them
	Guests   []Process `json:"guests,omitempty"`  // not known of a Node leader
	Levels   []Level   `json:"levels,omitempty"`  // likewise
	Bytes    int64     `json:"bytes"`             // of all files in the directory
}

// Process is one process that has the database open. What is not known is zero.
type Process struct {
	PID      int       `json:"pid"`
	Program  string    `json:"program,omitempty"`
	Protocol string    `json:"protocol,omitempty"` // of a guest
	Since    time.Time `json:"since,omitzero"`     // of the lead, or of a guest's joining
}

// Level is one level of the tree of tables.
type Level struct {
	Level  int   `json:"level"`
	Tables int   `json:"tables"`
	Bytes  int64 `json:"bytes"`
}

// Status returns who serves the database and how it does.
func (db *DB) Status(ctx context.Context) (Status, error) {
	s, err := db.status(ctx)
	return s, opError("status", err)
}

func (db *DB) status(ctx context.Context) (s Status, err error) {
	local, link, err := db.way(ctx)
	if err != nil {
		return s, err
	}
	db.mu.Lock()
	h, toLeader := db.hosting, db.link
	db.mu.Unlock()
	switch {
	case h != nil:
		s = h.status()
	case toLeader != nil && toLeader.Proto() == wire.Party:
		var r wire.Response
		r, err = toLeader.Do(ctx, wire.Request{Op: wire.OpStatus})
		if errors.Is(err, ErrConnectionLost) && !db.o.NoRetry {
			<-toLeader.Down()
			if err = db.unlinked(ctx, toLeader); err == nil {
				return db.status(ctx)
			}
		}
		if err != nil {
			return s, err
		}
		if err = json.Unmarshal(r.Value, &s); err != nil {
			return s, fmt.Errorf("leader's status: %w: %w", ErrCorrupted, err)
		}
	case local != nil:
		s = db.ownStatus(local)
	}
	db.mu.Lock()
	s.Path, s.Role, s.Since = db.dir, db.role, db.since
	if db.apart != nil && local == nil {
		s.Apart = db.apart.Error()
	}
	if link != nil {
		s.Protocol = link.Proto().String()
		if link.Proto() != wire.Party {
			s.Leader = Process{PID: db.peer.PID, Program: vfs.ProgramOf(db.peer.PID)}
		}
	}
	db.mu.Unlock()
	entries, err := os.ReadDir(db.dir)
	if err != nil {
		return s, err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			s.Bytes += info.Size()
		}
	}
	return s, nil
}

// status is what the leader knows.
func (h *hosting) status() Status {
	s := Status{Leader: Process{
		PID: os.Getpid(), Program: program(), Since: h.since,
	}}
	h.mu.Lock()
	for _, g := range h.guests {
		if g.hello.Member {
			continue
		}
		p := Process{PID: g.peer.PID, Program: g.hello.Program, Protocol: g.proto.String(), Since: g.since}
		if p.PID == 0 {
			p.PID = g.hello.PID
		}
		if p.Program == "" {
			p.Program = vfs.ProgramOf(p.PID)
		}
		s.Guests = append(s.Guests, p)
	}
	h.mu.Unlock()
	slices.SortFunc(s.Guests, func(a, b Process) int { return a.Since.Compare(b.Since) })
	h.db.addOwn(&s, h.Leader)
	return s
}

// ownStatus is what a member knows.
func (db *DB) ownStatus(l *leader.Leader) (s Status) {
	for _, m := range l.Members() {
		if m.Leader {
			s.Leader = Process{PID: m.PID, Program: m.Program, Since: l.LeadSince()}
		}
	}
	db.addOwn(&s, l)
	return s
}

// addOwn adds what the database itself tells.
func (db *DB) addOwn(s *Status, l *leader.Leader) {
	if l.Shared() {
		for _, m := range l.Members() {
			s.Members = append(s.Members, Process{PID: m.PID, Program: m.Program, Since: m.Since})
		}
	}
	levels, err := l.Levels()
	if err != nil {
		db.log.Warn("levels", "reason", err)
	}
	for i, level := range levels {
		s.Levels = append(s.Levels, Level{Level: i, Tables: level.Tables, Bytes: level.Bytes})
	}
}
