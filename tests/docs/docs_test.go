// Package docs tests that the documents speak of what there is.
package docs

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/levelparty/party/internal/partytest"
)

var (
	root = filepath.Join("..", "..")

	link     = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)`)
	testName = regexp.MustCompile(`\b(?:Test|Fuzz|Example)[A-Z]\w*`)
	testFunc = regexp.MustCompile(`(?m)^func (?:Test|Fuzz|Example)\w*`)
	makeRule = regexp.MustCompile(`(?m)^([a-z]+):`)
	makeCall = regexp.MustCompile("`make ([a-z]+)")
)

// walk calls fn for the files of the project.
func walk(t *testing.T, fn func(path string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && (name == "node_modules" || name == ".git") {
			return fs.SkipDir
		}
		if !d.IsDir() {
			fn(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestDocuments checks that every link between the project's files leads
// somewhere, and that every test and make target that is named exists.
func TestDocuments(t *testing.T) {
	var documents []string
	tests := make(map[string]bool)
	walk(t, func(path string) {
		switch {
		case strings.HasSuffix(path, ".md"):
			documents = append(documents, path)
		case strings.HasSuffix(path, "_test.go"):
			for _, f := range testFunc.FindAllString(read(t, path), -1) {
				tests[strings.TrimPrefix(f, "func ")] = true
			}
		}
	})
	targets := make(map[string]bool)
	for _, m := range makeRule.FindAllStringSubmatch(read(t, filepath.Join(root, "Makefile")), -1) {
		targets[m[1]] = true
	}
	for _, doc := range documents {
		text := read(t, doc)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			to := m[1]
			if strings.Contains(to, ":") {
				continue // elsewhere
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(doc), filepath.FromSlash(to))); err != nil {
				t.Errorf("%s: link to %s: %v", doc, to, err)
			}
		}
		for _, name := range testName.FindAllString(text, -1) {
			if !tests[name] && name != "TestXxx" && name != "FuzzXxx" {
				t.Errorf("%s names %s, which does not exist", doc, name)
			}
		}
		for _, m := range makeCall.FindAllStringSubmatch(text, -1) {
			if !targets[m[1]] {
				t.Errorf("%s names make %s, which does not exist", doc, m[1])
			}
		}
	}
}

// programOf returns the first block of the README in a language.
func programOf(t *testing.T, language string) string {
	t.Helper()
	_, rest, ok := strings.Cut(read(t, filepath.Join(root, "README.md")), "```"+language+"\n")
	program, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatalf("README.md has no program in %s", language)
	}
	return program
}

// TestReadmePrograms runs the README's Go and Node programs on one directory, in
// both orders, until each has printed what the other wrote.
func TestReadmePrograms(t *testing.T) {
	dir := t.TempDir()
	source, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	if err := os.WriteFile(source, []byte(programOf(t, "go")), 0o666); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", program, source)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	script := filepath.Join(dir, "program.js")
	if err := os.WriteFile(script, []byte(programOf(t, "js")), 0o666); err != nil {
		t.Fatal(err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		partytest.Need(t, "node is not installed")
	}
	modules := filepath.Join(partytest.InteropDir(), "node_modules")
	if _, err := os.Stat(modules); err != nil {
		partytest.Need(t, "the npm packages are not installed: run npm ci in interop")
	}
	commands := []func() *exec.Cmd{
		func() *exec.Cmd { return exec.Command(program) },
		func() *exec.Cmd { return exec.Command(node, script) },
	}
	wants := []string{"user/bob Bob 9", "user/ann Ann 7"}
	for first := range commands {
		db := t.TempDir()
		var found []<-chan error
		for _, i := range []int{first, 1 - first} {
			cmd := commands[i]()
			cmd.Dir = db
			cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
			found = append(found, printed(t, cmd, wants[i]))
		}
		for _, f := range found {
			if err := <-f; err != nil {
				t.Error(err)
			}
		}
	}
}

// printed starts cmd and tells when it has printed want: with an error if that
// does not come. cmd runs on until the end of the test.
func printed(t *testing.T, cmd *exec.Cmd, want string) <-chan error {
	t.Helper()
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	found := make(chan error, 1)
	go func() {
		seen := ""
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if seen += lines.Text() + "\n"; strings.Contains(lines.Text(), want) {
				found <- nil
				_, _ = io.Copy(io.Discard, out)
				return
			}
		}
		found <- fmt.Errorf("%s ended before it printed %q; it printed\n%s", cmd.Path, want, seen)
	}()
	limit := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() { limit.Stop() })
	return found
}
