package wire

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// Property: who waits for room gets it in the end, though others keep what they
// have: those that have kept it for long lose their connections, and no others.
func TestSpaceIsGivenUp(t *testing.T) {
	defer func(d time.Duration) { spacePatience = d }(spacePatience)
	spacePatience = 20 * time.Millisecond
	s := newSpace(100)
	idle, other := net.Pipe()
	defer other.Close()
	kept := s.try(idle, 80)
	if kept == nil || s.try(idle, 30) != nil {
		t.Fatal("80 of 100 bytes, and 30 more")
	}
	ended := make(chan struct{})
	go func() { // as the connection's reader does
		_, _ = idle.Read(make([]byte, 1))
		kept.release()
		close(ended)
	}()
	h, err := s.take(t.Context(), nil, 1000) // as much as there is
	if err != nil {
		t.Fatal(err)
	}
	<-ended
	kept.release() // again: nothing
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.take(ctx, nil, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("took more than there is: %v", err)
	}
	h.release()
	if h = s.try(nil, 100); h == nil {
		t.Error("room was lost")
	}
}
