//go:build unix && !linux

package vfs

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// socketAddr returns a path for the socket that fits into an address: where
// the directory's is too long, one in the user's own temporary directory,
// named by the hash of the long one so that all openers know it.
func socketAddr(dir, name string) (addr string, done func(), err error) {
	p := socketPath(dir, name)
	if fits(p) {
		return p, func() {}, nil
	}
	private := filepath.Join(os.TempDir(), fmt.Sprintf("party-%d", os.Geteuid()))
	if err := os.MkdirAll(private, 0o700); err != nil {
		return "", nil, err
	}
	// Another user may have made it first.
	info, err := os.Lstat(private)
	if err != nil {
		return "", nil, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() || !info.IsDir() || info.Mode().Perm() != 0o700 {
		return "", nil, &os.PathError{Op: "use", Path: private, Err: ErrForeign}
	}
	sum := sha256.Sum256([]byte(p))
	addr = filepath.Join(private, fmt.Sprintf("%x.sock", sum[:12]))
	if !fits(addr) {
		return "", nil, &os.PathError{Op: "listen", Path: addr, Err: fmt.Errorf("temporary directory's path is too long for a socket")}
	}
	return addr, func() {}, nil
}

// exactly looks that a socket is at path, and not a link to another one.
func exactly(path string) (addr string, release func(), err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", nil, err
	}
	if info.Mode().Type() != os.ModeSocket {
		return "", nil, noSocket(path)
	}
	return path, func() {}, nil
}
