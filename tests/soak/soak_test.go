//go:build linux

// Package soak tests that a directory stays right for hours, in the hands of
// processes of all kinds that come, work, are stopped and die all the time; and
// that neither they nor it grow.
//
// A run is one directory and many eras. In an era some processes, Go members, Go
// guests and Node guests, write and read, while the parent kills, stops, ends and
// starts them by a seed. An era ends when all are killed; then, with nobody alive,
// what they left is checked and read by C++ LevelDB, goleveldb and party. Beside
// that the living directory is checked, and short campaigns of tests/linear run in
// directories of their own.
//
// Everything is judged at once by the process that reads it, so that hours need no
// more memory than minutes. The first lie ends the run.
//
// # What must be so
//
//   - own_test.go: 1, a read is never older than what was acknowledged.
//   - batch_test.go: 2, batches are whole.
//   - bank_test.go: 3, Update and Exclusive are serialisable.
//   - count_test.go: 4, what is counted is counted once. swap_test.go: 5, so it is
//     by CompareAndSwap.
//   - scan_test.go: 6, iterators are complete and in order.
//   - hold_test.go: 7, snapshots stay as they are.
//   - watch_test.go: 8, every change is watched once. replay_test.go: and they add
//     up to the database.
//   - offline_test.go: 9, all this is so of what the dead leave, and three LevelDBs
//     read the same.
//   - live_test.go: 10, party check finds nothing, and histories are linearizable.
//   - meter_test.go: memory, descriptors and disk, which must not grow. What they
//     do is printed; that is for people to judge.
//
// # Where the rest is
//
//   - board_test.go: what was intended and acknowledged, in a file that outlives all.
//   - way_test.go: how processes hold the database. key_test.go: keys and values.
//   - worker_test.go: a process; interop/soak.js: a Node process.
//   - run_test.go: what a run keeps. crowd_test.go: the processes, seen by the parent.
//   - era_test.go: an era and its events. line_test.go: what is printed.
package soak

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/levelparty/party/internal/partytest"
	"github.com/levelparty/party/internal/vfs"
	"github.com/levelparty/party/tests/linear"
)

var (
	forFlag = flag.Duration("for", 0, "how long the run is; 0: 10 seconds, 4 with -short")
	outFlag = flag.String("out", filepath.Join(os.TempDir(), "party-soak"), "directory for what is kept of a lie")
)

func TestMain(m *testing.M) {
	partytest.Main(map[string]partytest.Helper{
		"work": work,
		linear.Helper: func(p *partytest.Self) error {
			signal.Ignore(unix.SIGINT)
			return linear.Worker(p)
		},
	})
	flag.Parse()
	os.Exit(m.Run())
}

// haveNode reports whether Node processes can take part, which they must in CI.
func haveNode(t *testing.T) bool {
	_, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(filepath.Join(partytest.InteropDir(), "node_modules"))
	}
	if err == nil && !littleEndian() {
		err = fmt.Errorf("the board is little-endian, and this machine is not")
	}
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	if err != nil {
		show(t, fmt.Sprintf("without Node: %v", err))
	}
	return err == nil
}

// show prints a line of a run that was given its time, and else logs it.
func show(t *testing.T, line string) {
	if *forFlag > 0 {
		fmt.Println(line)
	} else {
		t.Log(line)
	}
}

// Properties: those that the package comment lists, for as long as there is time.
func TestSoak(t *testing.T) {
	if ok, why := vfs.SharedMemoryWorks(t.TempDir()); !ok {
		partytest.Need(t, why)
	}
	length := *forFlag
	if length == 0 {
		if length = 10 * time.Second; testing.Short() {
			length = 4 * time.Second
		}
	}
	r := newRun(t, partytest.Seed(t), length)
	show(t, fmt.Sprintf("PARTY_SEED=%d, %v, in %s", r.seed, length, r.root))
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, unix.SIGINT, unix.SIGTERM)
	defer signal.Stop(interrupted)
	go func() {
		select {
		case <-interrupted:
			r.stop()
		case <-r.ctx.Done():
		}
	}()
	r.run(t)
}
