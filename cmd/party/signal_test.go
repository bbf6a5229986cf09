package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/levelparty/party/internal/dbtest"
)

// A command that a signal stops ends with 128 and the signal's number, leaves
// whole lines behind and a database that can be opened.
func TestSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs signals")
	}
	dir := dbtest.Checked(t, filepath.Join(t.TempDir(), "db"))
	var ops strings.Builder
	for n := range 50_000 {
		fmt.Fprintf(&ops, "put\tkey%d\t%s\n", n, strings.Repeat("v", 100))
	}
	fill := exec.Command("party", "batch", dir)
	fill.Stdin = strings.NewReader(ops.String())
	if out, err := fill.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if signal.Ignored(sig) {
			continue // by who started the test, as nohup does, and so by its children
		}
		t.Run("scan "+sig.String(), func(t *testing.T) {
			// A reader as slow as a person keeps the scan from ending first.
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("party", "scan", dir)
			cmd.Stdout = w
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			w.Close()
			var out bytes.Buffer
			buf := make([]byte, 100_000)
			n, _ := r.Read(buf)
			out.Write(buf[:n])
			cmd.Process.Signal(sig)
			time.Sleep(20 * time.Millisecond)
			out.ReadFrom(r)
			if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 128+int(sig) {
				t.Errorf("%v, want code %d", err, 128+int(sig))
			}
			if !bytes.HasSuffix(out.Bytes(), []byte("v\n")) || stderr.Len() > 0 {
				t.Errorf("ends with %q, stderr %q", out.Bytes()[max(0, out.Len()-20):], stderr.Bytes())
			}
		})
		t.Run("put "+sig.String(), func(t *testing.T) {
			cmd := exec.Command("party", "put", dir, "k")
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond) // it waits for its input
			cmd.Process.Signal(sig)
			if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 128+int(sig) {
				t.Errorf("%v, want code %d", err, 128+int(sig))
			}
		})
	}
	out, err := exec.Command("party", "has", dir, "k").Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != exitNotFound {
		t.Errorf("has after it all: %s, %v", out, err)
	}
}
