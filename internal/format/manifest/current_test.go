package manifest_test

import (
	"errors"
	"testing"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/format/manifest"
	"github.com/levelparty/party/internal/store"
)

func TestCurrent(t *testing.T) {
	for _, c := range []struct {
		contents string
		want     format.FileNum
		ok       bool
	}{
		{"MANIFEST-000005\n", 5, true},
		{"MANIFEST-1234567\n", 1234567, true},
		{"MANIFEST-5\n", 5, true},
		{"", 0, false},
		{"\n", 0, false},
		{"MANIFEST-000005", 0, false},
		{"MANIFEST-000005\n\n", 0, false},
		{"MANIFEST-000005\r\n", 0, false},
		{"MANIFEST-\n", 0, false},
		{"000005.log\n", 0, false},
		{"dir/MANIFEST-000005\n", 0, false},
		{"MANIFEST-000005\nMANIFEST-000006\n", 0, false},
	} {
		got, err := manifest.ReadCurrent([]byte(c.contents))
		if got != c.want || (err == nil) != c.ok || err != nil && !errors.Is(err, store.ErrCorrupted) {
			t.Errorf("%q: got %d, %v", c.contents, got, err)
		}
	}
	for _, n := range []format.FileNum{1, 5, 999_999, 1_000_000} {
		if got, err := manifest.ReadCurrent(manifest.CurrentContents(n)); got != n || err != nil {
			t.Errorf("%d: got %d, %v", n, got, err)
		}
	}
	if got := string(manifest.CurrentContents(5)); got != "MANIFEST-000005\n" {
		t.Errorf("got %q", got)
	}
}
