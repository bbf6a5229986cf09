package leader

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/store"
)

// onceExample returns the bytes of an example in docs/format.md.
func onceExample(t *testing.T, name string) []byte {
	t.Helper()
	page, err := os.ReadFile("../../docs/format.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "```bytes once "+name+"\n")
	text, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatalf("the page has no example %q", name)
	}
	var digits strings.Builder
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestOncePage holds the examples of party.once in docs/format.md against the
// code, which writes those bytes and reads them.
func TestOncePage(t *testing.T) {
	client := store.ClientID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	w := store.Identity{Client: client, ID: 9, Floor: 7}
	base := appendEntry(nil, entryBase, store.ClientID{}, 1, 0, 0)
	intent := appendIntent(nil, w, 8, 2)
	for name, want := range map[string][]byte{"base": base, "intent": intent} {
		if got := onceExample(t, name); !bytes.Equal(got, want) {
			t.Errorf("%s: the page has %x, want %x", name, got, want)
		}
	}

	for last, want := range map[uint64]bool{7: false, 8: true} {
		dir := t.TempDir()
		file := append(onceExample(t, "base"), onceExample(t, "intent")...)
		if err := os.WriteFile(filepath.Join(dir, onceName), file, 0o600); err != nil {
			t.Fatal(err)
		}
		o, err := openOnce(dir, format.SeqNum(last), 1)
		if err != nil {
			t.Fatal(err)
		}
		if count, ok, err := o.applied(w); ok != want || ok && count != 2 || err != nil {
			t.Errorf("the database ends with %d: %d, %v, %v", last, count, ok, err)
		}
		if err := o.close(); err != nil {
			t.Fatal(err)
		}
	}
}
