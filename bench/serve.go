package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
)

// serveChild is a server: serve PEER DIR KEYS.
func serveChild(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: serve PEER DIR KEYS")
	}
	p, err := findGoPeer(args[0])
	if err != nil {
		return err
	}
	keys, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	stop, err := p.serve(args[1], keys)
	if err != nil {
		return err
	}
	endProfile, err := profile()
	if err != nil {
		return errors.Join(err, stop())
	}
	err = serveLines(func(line string) (any, error) {
		switch line {
		case "memory":
			return memoryInUse(), nil
		case "pid":
			return os.Getpid(), nil
		}
		return nil, fmt.Errorf("unknown request %q", line)
	})
	endProfile()
	return errors.Join(err, stop())
}

// memory is what a Go server knows of itself, in bytes.
type memory struct {
	Heap  uint64 // reachable, but for what was allocated meanwhile
	Stack uint64
}

func memoryInUse() memory {
	debug.FreeOSMemory() // two collections empty the pools
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return memory{Heap: m.HeapAlloc, Stack: m.StackInuse}
}
