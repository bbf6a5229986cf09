//go:build unix

package linear

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"sync"
)

// A history file has one Op a line, in JSON. An operation is written before its
// call, with the outcome Unknown, again when more is known of it, and at last
// after its return; of the lines of one operation the last counts. Each line is
// one write to the file, so that it is there when the process is killed. A line
// that the death cut off is not.

// Recorder writes a history file.
type Recorder struct {
	mu sync.Mutex
	f  *os.File
}

// Record begins a history file.
func Record(path string) (*Recorder, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o666)
	if err != nil {
		return nil, err
	}
	return &Recorder{f: f}, nil
}

// Write writes what is known of o.
func (r *Recorder) Write(o *Op) {
	line, err := json.Marshal(o)
	if err == nil {
		r.mu.Lock()
		_, err = r.f.Write(append(line, '\n'))
		r.mu.Unlock()
	}
	if err != nil {
		panic(err) // without its history a process must not go on
	}
}

// ReadHistory returns the operations of a history file.
func ReadHistory(path string) ([]Op, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	type name struct{ client, n int }
	at := make(map[name]int)
	var ops []Op
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		if b = rest; !whole {
			break
		}
		var o Op
		if err := json.Unmarshal(line, &o); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if i, known := at[name{o.Client, o.N}]; known {
			ops[i] = o
			continue
		}
		at[name{o.Client, o.N}] = len(ops)
		ops = append(ops, o)
	}
	return ops, nil
}

// Merge makes one history of those of several processes, without what told
// nothing and did nothing. Clients' numbers say which process they belong to:
// process*100 + client.
func Merge(histories ...[]Op) []Op {
	var all []Op
	for process, ops := range histories {
		for _, o := range ops {
			o.Client += process * 100
			all = append(all, o)
		}
	}
	all = slices.DeleteFunc(all, func(o Op) bool {
		return o.Outcome == Nothing || o.Outcome == Unknown && len(o.Writes) == 0
	})
	for i := range all {
		if all[i].Outcome == Unknown {
			all[i].Return = math.MaxInt64
		}
	}
	slices.SortFunc(all, func(a, b Op) int { return int(a.Call - b.Call) })
	return all
}
