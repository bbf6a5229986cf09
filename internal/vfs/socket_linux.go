package vfs

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// socketAddr returns a path for the socket that fits into an address, however
// long the directory's is: through a descriptor of the directory. done must be
// called when the path is no longer needed.
func socketAddr(dir, name string) (addr string, done func(), err error) {
	if p := socketPath(dir, name); fits(p) {
		return p, func() {}, nil
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s.sock", fd, name), func() { unix.Close(fd) }, nil
}

// exactly returns an address that leads to the socket at path, and nowhere else
// if that is replaced by a link. release must be called when it is no longer
// needed.
func exactly(path string) (addr string, release func(), err error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, &os.PathError{Op: "connect", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK {
		addr = fmt.Sprintf("/proc/self/fd/%d", fd)
		if unix.Access(addr, unix.F_OK) != nil {
			addr = path // no /proc: what was looked at a moment ago
		}
		return addr, func() { unix.Close(fd) }, nil
	}
	unix.Close(fd)
	if err != nil {
		return "", nil, &os.PathError{Op: "connect", Path: path, Err: err}
	}
	return "", nil, noSocket(path)
}

func peerOf(conn net.Conn) (p Peer, known bool, err error) {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return p, false, err
	}
	var cred *unix.Ucred
	ctlErr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if ctlErr != nil || err != nil {
		return p, false, fmt.Errorf("credentials of a socket's peer: %w", firstError(ctlErr, err))
	}
	return Peer{PID: int(cred.Pid), UID: int(cred.Uid)}, true, nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
