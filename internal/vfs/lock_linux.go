package vfs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// TryLock takes the lock on the file at path, which it creates.
// It does not wait: ErrHeld.
func TryLock(path string, shared bool) (*Lock, error) {
	flag, kind := os.O_RDWR|os.O_CREATE, int16(unix.F_WRLCK)
	if shared {
		flag, kind = os.O_RDONLY, unix.F_RDLCK
	}
	f, err := openRegular(path, flag, 0o644)
	if shared && errors.Is(err, os.ErrNotExist) {
		// A copied database may lack it, and it is no part of the data.
		f, err = openRegular(path, os.O_RDWR|os.O_CREATE, 0o644)
	}
	if err != nil {
		return nil, err
	}
	whole := unix.Flock_t{Type: kind, Whence: io.SeekStart}
	for {
		err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &whole)
		if err != unix.EINTR {
			break
		}
	}
	if err == nil {
		return &Lock{f}, nil
	}
	f.Close()
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return nil, ErrHeld
	}
	return nil, &os.PathError{Op: "lock", Path: path, Err: err}
}

// TryLockDir takes an exclusive lock on the directory itself, for which it need
// not be writable. It does not wait: ErrHeld. LevelDBs take no notice of it.
func TryLockDir(dir string) (*Lock, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EINTR {
			break
		}
	}
	if err == nil {
		return &Lock{f}, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, ErrHeld
	}
	return nil, &os.PathError{Op: "lock", Path: dir, Err: err}
}

// Holder returns the id of a process that holds a lock of either kind on the
// file at path, 0 if the system does not tell.
func Holder(path string) int {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return 0
	}
	f, err := os.Open("/proc/locks")
	if err != nil {
		return 0
	}
	defer f.Close()
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// 1: POSIX  ADVISORY  WRITE 4711 fd:00:1234 0 EOF
		field := strings.Fields(lines.Text())
		if len(field) < 6 || field[1] == "->" || field[5] != file {
			continue
		}
		// An OFD lock belongs to no process: -1. Its holder's flock is listed too.
		if pid, err := strconv.Atoi(field[4]); err == nil && pid > 0 {
			return pid
		}
	}
	return 0
}

// ProgramOf returns the name of a running process, "" if the system does not
// tell.
func ProgramOf(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
