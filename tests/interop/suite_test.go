// Package interop runs the test suites of the npm database interfaces through
// the unchanged npm clients, connected to a host of ours.
package interop

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// TestAbstractLevelSuite is abstract-level's suite through both versions of
// many-level.
func TestAbstractLevelSuite(t *testing.T) {
	t.Run("memory/many-level 2", func(t *testing.T) { runSuite(t, "memory", "abstract-level-suite.js", 5000) })
	t.Run("party/many-level 2", func(t *testing.T) { runSuite(t, "party", "abstract-level-suite.js", 5000) })
	t.Run("party/many-level 1", func(t *testing.T) { runSuite(t, "party", "abstract-level-suite.js", 5000, "MANY_LEVEL=1") })
}

// TestAbstractLeveldownSuite is abstract-leveldown's suite through
// multileveldown.
func TestAbstractLeveldownSuite(t *testing.T) {
	eachHost(t, func(t *testing.T, host string) { runSuite(t, host, "abstract-leveldown-suite.js", 1000) })
}

// TestRetry breaks the connections of npm guests that retry.
func TestRetry(t *testing.T) {
	eachHost(t, func(t *testing.T, host string) { runSuite(t, host, "retry.js", 8) })
}

func eachHost(t *testing.T, test func(t *testing.T, host string)) {
	for _, host := range []string{"memory", "party"} {
		t.Run(host, func(t *testing.T) { test(t, host) })
	}
}

// runSuite fails unless the script exits cleanly after at least the given
// number of passed assertions, so that a suite that ends early is noticed.
func runSuite(t *testing.T, host, script string, least int, env ...string) {
	node := needNode(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, script, os.Args[0])
	cmd.Dir = npmDir
	cmd.Env = append(os.Environ(), hostVariable+"="+host)
	cmd.Env = append(cmd.Env, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	passed := len(passLine.FindAll(out, -1))
	t.Logf("%d assertions passed", passed)
	if err != nil || passed < least {
		t.Errorf("%s: %v, %d assertions passed, want at least %d", script, err, passed, least)
		for _, failure := range failures(out, 10) {
			t.Error(failure)
		}
		t.Logf("standard error:\n%.4000s", stderr.Bytes())
	}
}

var passLine = regexp.MustCompile(`(?m)^ok \d+`)

// failures returns the failed assertions of TAP output, each with the name of
// its test.
func failures(tap []byte, most int) []string {
	var found []string
	var test string
	lines := bufio.NewScanner(bytes.NewReader(tap))
	for lines.Scan() && len(found) < most {
		switch line := lines.Text(); {
		case len(line) > 2 && line[:2] == "# ":
			test = line[2:]
		case len(line) > 7 && line[:7] == "not ok ":
			found = append(found, test+": "+line)
		}
	}
	return found
}

// npmDir is where the npm packages are.
var npmDir = filepath.Join("..", "..", "interop")

// needNode returns the path of node, or skips the test; in CI it fails it.
func needNode(t *testing.T) string {
	t.Helper()
	missing := ""
	node, err := exec.LookPath("node")
	if err != nil {
		missing = "node is not installed"
	} else if _, err := os.Stat(filepath.Join(npmDir, "node_modules")); err != nil {
		missing = "interop/node_modules is missing: run npm ci in interop"
	}
	switch {
	case missing == "":
		return node
	case os.Getenv("CI") == "true":
		t.Fatal(missing)
	default:
		t.Skip(missing)
	}
	return ""
}
