//go:build unix

package vfs

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Listen listens at the socket called name.sock in dir, replacing what is
// there: the caller holds LevelDB's lock, so it is a dead leader's.
func Listen(dir, name string) (*Listener, error) {
	addr, done, err := socketAddr(dir, name)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := os.Remove(addr); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		// On Linux the file gets the socket's own mode, so that there is no
		// moment at which others could connect.
		return c.Control(func(fd uintptr) { _ = unix.Fchmod(int(fd), 0o600) })
	}}
	l, err := lc.Listen(context.Background(), "unix", addr)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	mine, err := os.Lstat(addr)
	if err == nil && mine.Mode() != os.ModeSocket|0o600 {
		// Whatever has been put in its place meanwhile, a link is not followed.
		err = os.NewSyscallError("chmod", unix.Fchmodat(unix.AT_FDCWD, addr, 0o600, unix.AT_SYMLINK_NOFOLLOW))
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	named := func() bool {
		addr, done, err := socketAddr(dir, name)
		if err != nil {
			return false
		}
		defer done()
		now, err := os.Lstat(addr)
		return err == nil && os.SameFile(now, mine)
	}
	return &Listener{
		Listener: l,
		bound:    named,
		gone: func() error {
			if !named() {
				return nil // somebody else's by now
			}
			addr, done, err := socketAddr(dir, name)
			if err != nil {
				return err
			}
			defer done()
			return os.Remove(addr)
		},
	}, nil
}

// Dial connects to the socket called name.sock in dir. It does not wait. Where
// nobody listens the error satisfies NobodyListens.
func Dial(dir, name string) (net.Conn, Peer, error) {
	addr, done, err := socketAddr(dir, name)
	if err != nil {
		return nil, Peer{}, err
	}
	defer done()
	addr, release, err := exactly(addr)
	if err != nil {
		return nil, Peer{}, err
	}
	defer release()
	d := net.Dialer{Timeout: 5 * time.Second} // a full backlog makes connect wait
	conn, err := d.Dial("unix", addr)
	if err != nil {
		return nil, Peer{}, err
	}
	p, err := trust(conn)
	if err != nil {
		conn.Close()
		return nil, p, err
	}
	unixConn := conn.(*net.UnixConn)
	raw, err := unixConn.SyscallConn()
	if err != nil {
		conn.Close()
		return nil, p, err
	}
	return &socket{unixConn, raw}, p, nil
}

// noSocket says that something else has a socket's name: a link to one, maybe,
// at which a process that trusts this user would take requests for its own.
func noSocket(path string) error {
	return &os.PathError{Op: "connect", Path: path, Err: ErrIrregular}
}

// socket is a connection that can be written to without waiting.
type socket struct {
	*net.UnixConn
	raw syscall.RawConn
}

// WriteNow writes as much of b as the socket has room for. It does not wait for
// the other end to read; that there was no room is not an error.
func (s *socket) WriteNow(b []byte) (n int, err error) {
	var errno error
	err = s.raw.Write(func(fd uintptr) bool {
		for {
			if n, errno = unix.Write(int(fd), b); errno != unix.EINTR {
				return true
			}
		}
	})
	switch {
	case err != nil:
		return 0, err
	case errno == unix.EAGAIN:
		return 0, nil
	case errno != nil:
		return 0, os.NewSyscallError("write", errno)
	}
	return n, nil
}

// NobodyListens reports whether err of Dial means that no process is there.
func NobodyListens(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) ||
		errors.Is(err, syscall.ENOTDIR)
}

// fits reports whether a socket address can hold path. Node needs the same.
func fits(path string) bool { return len(path) < len(syscall.RawSockaddrUnix{}.Path) }

// SocketPathFits reports whether programs that know sockets by their full path
// can reach the one called name.sock in dir.
func SocketPathFits(dir, name string) bool { return fits(socketPath(dir, name)) }

func socketPath(dir, name string) string { return filepath.Join(dir, name+".sock") }

// SocketNamed reports whether the socket called name.sock is there in dir,
// though maybe nobody listens at it.
func SocketNamed(dir, name string) bool {
	_, err := os.Lstat(filepath.Join(dir, name+".sock"))
	return err == nil
}
