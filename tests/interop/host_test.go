package interop

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/wire"
	"github.com/levelparty/party/internal/wire/memstore"
)

// hostVariable makes the test binary a host for npm processes instead of a
// test. Its value names what opens the databases. See interop/host.js for what
// is said on its standard streams.
const hostVariable = "PARTY_INTEROP_HOST"

// openers open the database in a directory for npm guests: from their return
// until the Closer's, both sockets accept.
var openers = map[string]func(dir string) (io.Closer, error){
	// A database in memory. Its Close tells what guests did wrong, and what was
	// left open.
	"memory": func(dir string) (io.Closer, error) { return openMemory(dir) },
	// The real thing.
	"party": func(dir string) (io.Closer, error) { return party.Open(context.Background(), dir, nil) },
}

func TestMain(m *testing.M) {
	name := os.Getenv(hostVariable)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := serveCommands(openers[name], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "interop host:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serveCommands is the host's side of interop/host.js.
func serveCommands(open func(dir string) (io.Closer, error), in io.Reader, out io.Writer) error {
	hosts := make(map[string]io.Closer)
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		verb, dir, _ := strings.Cut(lines.Text(), " ")
		var err error
		switch verb {
		case "open":
			hosts[dir], err = open(dir)
		case "close":
			err = hosts[dir].Close()
			delete(hosts, dir)
		default:
			err = errors.New("unknown command")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", lines.Text(), err)
		}
		if _, err := fmt.Fprintln(out, "done", dir); err != nil {
			return err
		}
	}
	for _, host := range hosts {
		if err := host.Close(); err != nil {
			return err
		}
	}
	return lines.Err()
}

// memory is a database that lives in this process, on the sockets of a
// directory.
type memory struct {
	store     *memstore.Store
	cancel    context.CancelFunc
	listeners []net.Listener
	running   sync.WaitGroup

	mu   sync.Mutex
	errs []error
}

func openMemory(dir string) (*memory, error) {
	ctx, cancel := context.WithCancel(context.Background())
	m := &memory{store: memstore.New(), cancel: cancel}
	host := &wire.Host{Store: m.store, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	for _, p := range []wire.Proto{wire.Many, wire.Multi} {
		l, err := net.Listen("unix", filepath.Join(dir, p.String()+".sock"))
		if err != nil {
			return nil, errors.Join(err, m.Close())
		}
		m.listeners = append(m.listeners, l)
		m.running.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return // closed
				}
				m.running.Go(func() { m.failed(host.Serve(ctx, conn, p)) })
			}
		})
	}
	return m, nil
}

func (m *memory) failed(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.errs = append(m.errs, err)
}

// Close ends all connections. It fails if one had to be ended for what an npm
// guest did on it, or if one left something open in the store.
func (m *memory) Close() error {
	m.cancel()
	for _, l := range m.listeners {
		_ = l.Close()
	}
	m.running.Wait()
	if n := m.store.Open(); n != 0 {
		m.failed(fmt.Errorf("%d iterators left open", n))
	}
	return errors.Join(m.errs...)
}
