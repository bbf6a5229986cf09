package party_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/levelparty/party"
)

// Property: a value of hundreds of megabytes is one like any other: for another
// member, in tables, and after all have left.
func TestHugeValue(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a gigabyte")
	}
	ctx := context.Background()
	dir := t.TempDir()
	o := &party.Options{MaxMessage: 512 << 20}
	a, b := open(t, dir, o), open(t, dir, o)
	value := bytes.Repeat([]byte("0123456789abcdef"), 300<<20/16)
	if err := a.Put(ctx, []byte("huge"), value); err != nil {
		t.Fatal(err)
	}
	look := func(db *party.DB) {
		t.Helper()
		if got, err := db.Get(ctx, []byte("huge")); err != nil || !bytes.Equal(got, value) {
			t.Fatalf("got %d bytes, %v; want %d", len(got), err, len(value))
		}
	}
	look(b)
	if err := b.CompactRange(ctx, party.Range{}); err != nil {
		t.Fatal(err)
	}
	look(b)
	a.Close()
	b.Close()
	look(open(t, dir, o))
}
