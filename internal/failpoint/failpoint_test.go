//go:build failpoints && unix

package failpoint_test

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/levelparty/party/internal/failpoint"
)

func TestMain(m *testing.M) {
	if os.Getenv("PARTY_FAILPOINT") != "" {
		for range 3 {
			failpoint.Hit("other")
			failpoint.Hit("step")
			os.Stdout.WriteString("on\n")
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Property: each step is counted for itself.
func TestHits(t *testing.T) {
	before := failpoint.Hits()
	for n := range 3 {
		if n == 1 {
			failpoint.Hit("once")
		}
		failpoint.Hit("thrice")
	}
	got := failpoint.Hits()
	if once, thrice := got["once"]-before["once"], got["thrice"]-before["thrice"]; len(got) != 2 || once != 1 || thrice != 3 {
		t.Errorf("hits %v, before %v", got, before)
	}
}

// Property: a process dies, or stops, at the hit it is told, and at no other.
func TestHit(t *testing.T) {
	for _, test := range []struct {
		set, out string
		sig      syscall.Signal
	}{
		{"step", "", syscall.SIGKILL},
		{"step:3", "on\non\n", syscall.SIGKILL},
		{"step:4", "on\non\non\n", 0},
		{"none", "on\non\non\n", 0},
		{"step:2:stop", "on\non\non\n", 0},
	} {
		t.Run(test.set, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "PARTY_FAILPOINT="+test.set)
			goOn := time.AfterFunc(2*time.Second, func() { _ = cmd.Process.Signal(syscall.SIGCONT) })
			defer goOn.Stop()
			start := time.Now()
			out, err := cmd.Output()
			var exit *exec.ExitError
			var sig syscall.Signal
			if errors.As(err, &exit) {
				sig = exit.Sys().(syscall.WaitStatus).Signal()
			}
			if string(out) != test.out || sig != test.sig {
				t.Errorf("%q and %v, want %q and %v", out, sig, test.out, test.sig)
			}
			if stopped := time.Since(start) > time.Second; stopped != (test.set == "step:2:stop") {
				t.Errorf("it took %v", time.Since(start))
			}
		})
	}
}
