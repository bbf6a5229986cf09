package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Exiting reports whether the system is ending a process, of which it may be
// closing one descriptor after the other. known: the system tells.
func Exiting(pid int) (exiting, known bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		// There is none any more, or /proc hides it, or it is in another namespace.
		gone := pid > 0 && errors.Is(unix.Kill(pid, 0), unix.ESRCH)
		return gone, gone
	}
	// pid (program) state ppid pgrp session tty tpgid flags ...: proc_pid_stat(5).
	// The program's name may hold anything.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 7 {
		return false, false
	}
	flags, err := strconv.ParseUint(string(fields[6]), 10, 64)
	const exitingFlag = 0x4 // PF_EXITING in the kernel's include/linux/sched.h
	return flags&exitingFlag != 0, err == nil
}
