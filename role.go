package party

import "fmt"

// Role is the part a handle plays at present.
type Role uint8

const (
	// Electing: the handle has lost its leader, or has none yet, and looks for
	// one. Calls wait.
	Electing Role = iota
	// Leader: the handle has the database open itself, writes its tables, and
	// hosts the sockets.
	Leader
	// Member: the handle has the database open itself, through shared memory,
	// beside the leader.
	Member
	// Guest: the handle reaches the database through a socket.
	Guest
	// Reading: the handle has opened the database directly, only to read, for
	// want of a leader.
	Reading
	// Closed: the handle has been closed.
	Closed
)

// String returns the role in lower case.
func (r Role) String() string {
	switch r {
	case Electing:
		return "electing"
	case Leader:
		return "leader"
	case Member:
		return "member"
	case Guest:
		return "guest"
	case Reading:
		return "reading"
	case Closed:
		return "closed"
	}
	return fmt.Sprintf("Role(%d)", uint8(r))
}

// MarshalText returns String.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText takes what String returns.
func (r *Role) UnmarshalText(text []byte) error {
	for role := Electing; role <= Closed; role++ {
		if role.String() == string(text) {
			*r = role
			return nil
		}
	}
	return fmt.Errorf("party: role %q: %w", text, ErrInvalid)
}
