package interop

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/levelparty/party/internal/dbtest"
	"github.com/levelparty/party/internal/wire"
	"github.com/levelparty/party/internal/wire/wiretest"
)

// TestGuestOfNode runs our guests against the npm packages' own hosts.
func TestGuestOfNode(t *testing.T) {
	host := startNode(t)
	for _, p := range []wire.Proto{wire.Many, wire.Multi} {
		t.Run(p.String(), func(t *testing.T) {
			wiretest.Guest(t, p, func(t *testing.T) net.Conn {
				dir := dbtest.Dir(t)
				host.ask(t, "open", dir)
				conn, err := net.Dial("unix", filepath.Join(dir, p.String()+".sock"))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					conn.Close()
					host.ask(t, "close", dir)
				})
				return conn
			})
		})
	}
}

// nodeHost is interop/npm-host.js at work.
type nodeHost struct {
	mu  sync.Mutex
	in  io.Writer
	out *bufio.Scanner
}

func startNode(t *testing.T) *nodeHost {
	cmd := exec.CommandContext(t.Context(), needNode(t), "npm-host.js")
	cmd.Dir = npmDir
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // t.Context has ended it
	})
	return &nodeHost{in: in, out: bufio.NewScanner(out)}
}

func (h *nodeHost) ask(t *testing.T, verb, dir string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	want := "done " + dir
	if _, err := fmt.Fprintln(h.in, verb, dir); err != nil {
		t.Fatal(err)
	}
	if !h.out.Scan() || h.out.Text() != want {
		t.Fatalf("npm host said %q, %v, want %q", h.out.Text(), h.out.Err(), want)
	}
}
