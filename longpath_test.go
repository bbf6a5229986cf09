//go:build unix

package party_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/levelparty/party"
)

// Property: Go processes share a directory however long its path is.
func TestLongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("a long way/", 40))
	leader, guest := open(t, dir, nil), open(t, dir, nil)
	if leader.Role() != party.Leader || guest.Role() != party.Guest {
		t.Fatalf("roles %v and %v", leader.Role(), guest.Role())
	}
	must(t, guest.Put(bg, []byte("k"), []byte("v")))
	must(t, leader.Close())
	if v, err := guest.Get(bg, []byte("k")); err != nil || string(v) != "v" {
		t.Errorf("got %q, %v", v, err)
	}
}
