package partytest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Need skips the test for the reason given. In CI a test that cannot run is a
// failure.
func Need(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// InteropDir is the directory of the npm packages.
func InteropDir() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..", "interop")
}

// Node starts a script of the interop directory in a Node process.
func Node(t testing.TB, script string, args ...string) *Process {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		Need(t, "node is not installed")
	}
	dir := InteropDir()
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		Need(t, "the npm packages are not installed: run npm ci in interop")
	}
	cmd := exec.Command(node, append([]string{script}, args...)...)
	cmd.Dir = dir
	return Run(t, cmd)
}
