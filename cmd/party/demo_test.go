package main

import (
	"bufio"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// No process of the demo outlives the one that a person started, however that
// ends.
func TestDemoLeavesNoProcess(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs signals")
	}
	for _, c := range []struct {
		name string
		sig  syscall.Signal
		code int
	}{
		{"interrupted", syscall.SIGINT, 130},
		{"terminated", syscall.SIGTERM, 143},
		{"killed", syscall.SIGKILL, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			tmp := t.TempDir()
			cmd := exec.Command("party", "demo", "--duration", "1m", "--kills", "0", "--writers", "2")
			cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var pids []int
			worker := regexp.MustCompile(`is process (\d+)`)
			for in := bufio.NewScanner(out); len(pids) < 3 && in.Scan(); {
				if m := worker.FindStringSubmatch(in.Text()); m != nil {
					pid, _ := strconv.Atoi(m[1])
					pids = append(pids, pid)
				}
			}
			if len(pids) < 3 {
				t.Fatalf("%d processes, want 3", len(pids))
			}
			cmd.Process.Signal(c.sig)
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != c.code {
				t.Errorf("code %d, want %d", code, c.code)
			}
			for _, pid := range pids {
				if !gone(pid) {
					t.Errorf("process %d lives", pid)
				}
			}
			if left, _ := os.ReadDir(tmp); len(left) > 0 && c.code >= 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// gone waits for a process, that is not our child, to end.
func gone(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return true
	}
	for range 200 {
		if p.Signal(syscall.Signal(0)) != nil {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// A record that is older than an acknowledged one, missing or nobody's is found.
func TestDemoCompare(t *testing.T) {
	const last = demoSlots + 10
	database := func() map[string]demoRecord {
		found := map[string]demoRecord{}
		for n := uint64(11); n <= last; n++ {
			found[demoKey(1, n)] = demoRecord{N: n}
		}
		return found
	}
	for _, c := range []struct {
		name                   string
		skipped                []uint64
		change                 func(map[string]demoRecord)
		lost, unknown, checked int
	}{
		{"all there", nil, func(map[string]demoRecord) {}, 0, 0, demoSlots},
		{"missing", nil, func(m map[string]demoRecord) { delete(m, demoKey(1, 50)) }, 1, 0, demoSlots},
		{"older", nil, func(m map[string]demoRecord) { m[demoKey(1, 5)] = demoRecord{N: 5} }, 1, 0, demoSlots},
		{"newer", nil, func(m map[string]demoRecord) { m[demoKey(1, 50)] = demoRecord{N: 50 + 7*demoSlots} }, 0, 1, demoSlots},
		{"unacknowledged, made", []uint64{last - 5}, func(map[string]demoRecord) {}, 0, 0, demoSlots},
		{"unacknowledged, not made", []uint64{last - 5}, func(m map[string]demoRecord) { m[demoKey(1, 5)] = demoRecord{N: 5} }, 0, 0, demoSlots},
		{"last one not made", []uint64{last + 1}, func(m map[string]demoRecord) {}, 0, 0, demoSlots},
		{"last one made", []uint64{last + 1}, func(m map[string]demoRecord) { m[demoKey(1, 11)] = demoRecord{N: last + 1} }, 0, 0, demoSlots},
	} {
		t.Run(c.name, func(t *testing.T) {
			child := &demoChild{writer: 1, skipped: map[uint64]bool{}}
			for _, n := range c.skipped {
				child.skipped[n] = true
			}
			found := database()
			c.change(found)
			r := &demoResult{}
			r.compare(child, last, found)
			if len(r.lost) != c.lost || len(r.unknown) != c.unknown || r.checked != c.checked || len(found) != 0 {
				t.Errorf("lost %v, unknown %v, %d checked, %d not looked at; want %d, %d, %d, 0",
					r.lost, r.unknown, r.checked, len(found), c.lost, c.unknown, c.checked)
			}
		})
	}
}
