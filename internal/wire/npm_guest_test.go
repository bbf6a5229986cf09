package wire_test

import (
	"context"
	"net"
	"path/filepath"
	"testing"

	"github.com/levelparty/party/internal/wire"
	"github.com/levelparty/party/internal/wire/memstore"
	"github.com/levelparty/party/internal/wire/wiretest"
)

// TestNpmGuest tests our guests of the npm protocols against our hosts. The
// same tests run against npm's hosts in tests/interop.
func TestNpmGuest(t *testing.T) {
	for _, p := range []wire.Proto{wire.Many, wire.Multi} {
		t.Run(p.String(), func(t *testing.T) {
			wiretest.Guest(t, p, func(t *testing.T) net.Conn { return dialMemory(t, p) })
		})
	}
}

// dialMemory connects to a host of an empty database. The host must end
// cleanly and leave nothing open.
func dialMemory(t *testing.T, p wire.Proto) net.Conn {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	guest, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s := memstore.New()
	s.ClearChunk = 2
	served := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { served <- (&wire.Host{Store: s}).Serve(ctx, conn, p) }()
	t.Cleanup(func() {
		guest.Close()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("host ended the connection: %v", err)
		}
		if n := s.Open(); n != 0 {
			t.Errorf("host left %d iterators open", n)
		}
	})
	return guest
}
