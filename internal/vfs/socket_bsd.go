//go:build darwin || freebsd

package vfs

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

func peerOf(conn net.Conn) (p Peer, known bool, err error) {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return p, false, err
	}
	var cred *unix.Xucred
	ctlErr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	})
	if ctlErr != nil {
		err = ctlErr
	}
	if err != nil {
		return p, false, fmt.Errorf("credentials of a socket's peer: %w", err)
	}
	return Peer{UID: int(cred.Uid)}, true, nil
}
