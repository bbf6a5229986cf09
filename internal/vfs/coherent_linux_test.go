package vfs

import (
	"os"
	"testing"
)

// Property: the trial of a file system passes where memory is shared, and leaves
// nothing.
func TestProbe(t *testing.T) {
	dir := t.TempDir()
	if err := probeCoherence(dir); err != nil {
		t.Error(err)
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 0 {
		t.Errorf("left %v, %v", names, err)
	}
	if err := probeCoherence(dir + "/none"); err == nil {
		t.Error("tried without a directory")
	}
}
