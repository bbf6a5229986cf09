package vfs

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// ErrForeign is returned when the other end of a socket belongs to another
// user.
var ErrForeign = fmt.Errorf("socket of another user: %w", os.ErrPermission)

// Peer is who is at the other end of a socket. Zero fields are not known.
type Peer struct {
	PID int
	UID int
}

// admit lets in the same user and root.
func admit(conn net.Conn) (Peer, error) {
	p, known, err := peerOf(conn)
	if err == nil && known && p.UID != os.Geteuid() && p.UID != 0 {
		err = fmt.Errorf("user %d: %w", p.UID, ErrForeign)
	}
	return p, err
}

// trust accepts as a host the same user and root; root itself visits everybody.
func trust(conn net.Conn) (Peer, error) {
	p, err := admit(conn)
	if errors.Is(err, ErrForeign) && os.Geteuid() == 0 {
		err = nil
	}
	return p, err
}

// Listener accepts the connections of the same user's processes.
type Listener struct {
	net.Listener
	bound func() bool  // nil: always
	gone  func() error // nil: nothing to remove
}

// Bound reports whether the socket's name still leads to l.
func (l *Listener) Bound() bool { return l.bound == nil || l.bound() }

// Accept waits for a connection. One from another user is closed and reported
// as an error that is ErrForeign, after which Accept can be called again.
func (l *Listener) Accept() (net.Conn, Peer, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, Peer{}, err
	}
	p, err := admit(conn)
	if err != nil {
		conn.Close()
		return nil, p, err
	}
	return conn, p, nil
}

// Close stops listening and removes the socket's name. To be called while
// LevelDB's lock is held: the name may be the next leader's afterwards.
func (l *Listener) Close() error {
	err := l.Listener.Close()
	if l.gone != nil {
		err = errors.Join(err, l.gone())
	}
	return err
}
