package party_test

import (
	"context"
	"errors"
	"testing"

	"github.com/levelparty/party"
)

func open(t *testing.T, dir string, o *party.Options) *party.DB {
	t.Helper()
	db, err := party.Open(context.Background(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

func TestTwoHandles(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	leader, guest := open(t, dir, nil), open(t, dir, nil)
	if leader.Role() != party.Leader || guest.Role() != party.Guest {
		t.Fatalf("roles %v and %v, want leader and guest", leader.Role(), guest.Role())
	}
	if err := guest.Put(ctx, []byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	if v, err := leader.Get(ctx, []byte("k")); err != nil || string(v) != "v" {
		t.Fatalf("got %q, %v; want v", v, err)
	}
	if err := leader.Close(); err != nil {
		t.Fatal(err)
	}
	if v, err := guest.Get(ctx, []byte("k")); err != nil || string(v) != "v" {
		t.Fatalf("after the leader left: got %q, %v; want v", v, err)
	}
	if _, err := leader.Get(ctx, []byte("k")); !errors.Is(err, party.ErrClosed) {
		t.Fatalf("closed handle: %v, want ErrClosed", err)
	}
}
