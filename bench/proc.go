package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Memory of a process, as fields of /proc/pid/status name it.
const (
	resident = "VmRSS"
	// private is what no file backs: heap, stacks and C's memory. Tables and
	// shared memory that are mapped are in no process's private memory, whoever
	// else has them mapped.
	private = "RssAnon"
)

// memoryOf returns a field of /proc/pid/status, in bytes.
func memoryOf(pid int, field string) (int64, error) { return procField(pid, "status", field) }

// procField returns a number that a file of a process names.
func procField(pid int, file, field string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			number, isKiB := strings.CutSuffix(strings.TrimSpace(rest), " kB")
			n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
			if isKiB {
				n <<= 10
			}
			return n, err
		}
	}
	return 0, fmt.Errorf("no %s in /proc/%d/%s", field, pid, file)
}

// descriptors returns how many a process has open.
func descriptors(pid int) (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries), err
}

// diskOf returns what the files of a directory take on disk, in bytes. Files
// that vanish meanwhile take nothing.
func diskOf(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil {
			var info fs.FileInfo
			if info, err = e.Info(); err == nil {
				total += blocks(info)
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return total, err
}

func blocks(info fs.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(s.Blocks) * 512
	}
	return info.Size()
}
