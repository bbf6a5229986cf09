//go:build unix

package party_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/dbtest"
)

// Property: Go processes share a directory however long its path is.
func TestLongPath(t *testing.T) {
	dir := dbtest.Checked(t, filepath.Join(t.TempDir(), strings.Repeat("a long way/", 40)))
	eachSharing(t, func(t *testing.T, s sharing) {
		leader := openAs(t, party.Leader, dir, &s.options)
		other := openAs(t, s.beside, dir, &s.options)
		must(t, other.Put(bg, []byte("k"), []byte("v")))
		must(t, leader.Close())
		if v, err := other.Get(bg, []byte("k")); err != nil || string(v) != "v" {
			t.Errorf("got %q, %v", v, err)
		}
		must(t, other.Close())
	})
}
