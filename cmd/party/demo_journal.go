package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"time"
)

// demoSlots is how many keys a writer has: it puts them in turn, so that the
// directory stays small however long the demo runs.
const demoSlots = 100_000

// demoRecord is what the writers put. A writer numbers its puts from 1.
type demoRecord struct {
	Writer int       `json:"writer"`
	N      uint64    `json:"n"`
	PID    int       `json:"pid"`
	Time   time.Time `json:"time"`
}

// demoKey is the key of a writer's n-th put.
func demoKey(writer int, n uint64) string {
	return fmt.Sprintf("writer/%d/%05d", writer, n%demoSlots)
}

// journal is a file of eight bytes: the number of the last put of a writer that
// was acknowledged. It is written after every acknowledgement and before the
// next put. What a process has handed to the kernel outlives its kill -9, so
// the file is off by one put at most, and on the safe side.
type journal struct {
	f   *os.File
	buf [8]byte
}

func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	return &journal{f: f}, nil
}

func (j *journal) acknowledged(n uint64) error {
	binary.LittleEndian.PutUint64(j.buf[:], n)
	_, err := j.f.WriteAt(j.buf[:], 0)
	return err
}

func (j *journal) read() (uint64, error) {
	_, err := j.f.ReadAt(j.buf[:], 0)
	if err == io.EOF {
		return 0, nil // nothing acknowledged yet
	}
	return binary.LittleEndian.Uint64(j.buf[:]), err
}
