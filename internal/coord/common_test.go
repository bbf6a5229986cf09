package coord_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/levelparty/party/internal/coord"
	"github.com/levelparty/party/internal/format"
)

func seqNum(n uint64) format.SeqNum   { return format.SeqNum(n) }
func fileNum(n uint64) format.FileNum { return format.FileNum(n) }

// stateOf returns a state all of which follows from its sequence number, so that
// one that is made up of two shows.
func stateOf(seq uint64) coord.State {
	return coord.State{
		Seq: seqNum(seq), Log: fileNum(seq + 1), LogLen: int64(seq * 3),
		ImmLog: fileNum(seq / 7), ImmLen: int64(seq * 5), ImmSeq: seqNum(seq / 2),
		Manifest: fileNum(seq / 3), ManifestLen: int64(seq * 11), Version: seq / 5, Epoch: seq / 4,
		Level0: seq % 9,
	}
}

// within fails the test if fn does not return.
func within(t testing.TB, what string, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: hangs", what)
	}
}

// timeout is a context for what should not take long.
func timeout(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// twoMembers opens a directory twice, where that can be done.
var twoMembers func(t *testing.T) (a, b *coord.Control)

func contains(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }

// publish makes seq visible.
func publish(t testing.TB, c *coord.Control, seq uint64) {
	t.Helper()
	if _, err := c.Lock(context.Background()); err != nil {
		t.Error(err)
		return
	}
	c.Publish(stateOf(seq))
	c.Unlock()
}

// each runs a test over two members of a directory, and over a private block,
// which is both.
func each(t *testing.T, fn func(t *testing.T, a, b *coord.Control)) {
	if twoMembers != nil {
		t.Run("shared", func(t *testing.T) {
			a, b := twoMembers(t)
			fn(t, a, b)
		})
	}
	t.Run("private", func(t *testing.T) {
		c := coord.Private()
		c.Publish(stateOf(1))
		c.Joined()
		fn(t, c, c)
		if err := c.Leave(func() error { return os.ErrExist }); !errors.Is(err, os.ErrExist) {
			t.Errorf("leave: %v", err)
		}
	})
}
