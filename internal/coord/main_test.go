//go:build linux

package coord_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/partytest"
)

var helpers = map[string]partytest.Helper{
	"hammer": hammer, "member": member, "writer": writer, "visitor": visitor, "syncer": syncer, "stranger": stranger,
}

func TestMain(m *testing.M) {
	partytest.Main(helpers)
	os.Exit(m.Run())
}

func init() {
	twoMembers = func(t *testing.T) (a, b *coord.Control) {
		dir := t.TempDir()
		return open(t, dir), open(t, dir)
	}
}

var config = coord.Config{Program: "test", OptionsHash: 7}

// join opens dir, and recovers it if nobody is there.
func join(ctx context.Context, dir string) (*coord.Control, error) {
	c, first, err := coord.Open(ctx, dir, config)
	if err == nil && first {
		c.Publish(stateOf(1))
		c.Joined()
	}
	return c, err
}

// open is join for tests.
func open(t testing.TB, dir string) *coord.Control {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := join(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Leave(nil) })
	return c
}

// block returns the path of the control block.
func block(dir string) string { return filepath.Join(dir, coord.Name) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
