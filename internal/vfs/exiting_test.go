//go:build linux

package vfs

import (
	"os"
	"os/exec"
	"testing"
)

// Property: who lives is not exiting; who was killed is, until it is waited for
// and after.
func TestExiting(t *testing.T) {
	if exiting, known := Exiting(os.Getpid()); exiting || !known {
		t.Errorf("itself: %v, %v", exiting, known)
	}
	if exiting, known := Exiting(0); exiting || known {
		t.Errorf("one of another namespace: %v, %v", exiting, known)
	}
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	if exiting, known := Exiting(pid); exiting || !known {
		t.Errorf("a process: %v, %v", exiting, known)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for exiting := false; !exiting; {
		exiting, _ = Exiting(pid)
	}
	_ = cmd.Wait()
	if exiting, known := Exiting(pid); !exiting || !known {
		t.Errorf("waited for: %v, %v", exiting, known)
	}
}
