package vfs

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
)

// Listen listens at the named pipe that stands for the socket called name of
// dir, as the npm packages name it.
func Listen(dir, name string) (*Listener, error) {
	sid, err := userSID()
	if err != nil {
		return nil, err
	}
	l, err := winio.ListenPipe(pipePath(dir, name), &winio.PipeConfig{
		// Full access for this user and the system, none for others.
		SecurityDescriptor: fmt.Sprintf("D:P(A;;GA;;;%s)(A;;GA;;;SY)", sid),
		InputBufferSize:    64 << 10,
		OutputBufferSize:   64 << 10,
	})
	if err != nil {
		return nil, err
	}
	return &Listener{Listener: l}, nil
}

// Dial connects to the pipe called name of dir.
func Dial(dir, name string) (net.Conn, Peer, error) {
	wait := 50 * time.Millisecond // a pipe whose instances are all being taken
	conn, err := winio.DialPipe(pipePath(dir, name), &wait)
	return conn, Peer{}, err
}

// NobodyListens reports whether err of Dial means that no process is there.
func NobodyListens(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, winio.ErrTimeout)
}

// SocketPathFits reports whether a pipe's name can hold dir.
func SocketPathFits(dir, name string) bool { return len(pipePath(dir, name)) <= 256 }

func pipePath(dir, name string) string { return `\\.\pipe\` + name + `\` + dir }

func userSID() (string, error) {
	u, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return "", err
	}
	return u.User.Sid.String(), nil
}

// peerOf knows nobody: the pipe's security descriptor keeps other users out.
func peerOf(conn net.Conn) (p Peer, known bool, err error) { return Peer{}, false, nil }

// SocketNamed reports false: a pipe ends with the process that listens.
func SocketNamed(dir, name string) bool { return false }
