package format_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/store"
)

func TestCorruption(t *testing.T) {
	err := fmt.Errorf("recovery: %w", &format.Corruption{File: "000005.log", Offset: 32768, Reason: "the checksum is wrong"})
	if !errors.Is(err, store.ErrCorrupted) {
		t.Error("not ErrCorrupted")
	}
	var c *format.Corruption
	if !errors.As(err, &c) || c.Offset != 32768 {
		t.Errorf("got %v", c)
	}
	if got, want := err.Error(), "recovery: 000005.log, offset 32768: the checksum is wrong: party: corrupted data"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
