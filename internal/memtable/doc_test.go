package memtable

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestSharedMemoryPage holds the offsets of a memtable in docs/shared-memory.md
// against the code.
func TestSharedMemoryPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/shared-memory.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## n.mem\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, row := range []string{
		fmt.Sprintf("| %d | 8 | `magic` |", offMagic),
		fmt.Sprintf("| %d | 4 | `version` | before magic: %d |", offVersion, layoutVersion),
		fmt.Sprintf("| %d | 4 | `size` |", offSize),
		fmt.Sprintf("| %d | 8 | `log` |", offLog),
		fmt.Sprintf("| %d | 8 | `tail` |", offTail),
		fmt.Sprintf("| %d | %d | `first` |", nextOf(head, maxHeight-1), 4*maxHeight),
		fmt.Sprintf("| %d | 4 | `height` |", offHeight),
		fmt.Sprintf("\nNodes begin at %d.", HeaderLen),
		"| n | 4 | next in level 0; 0 is the end |",
		fmt.Sprintf("| n + %d | 4 | an entry before it", nodePrev),
		fmt.Sprintf("| n + %d | 4 | length of the user key, h << %d |", nodeKeyLen, heightShift),
		fmt.Sprintf("| n + %d | 4 | length of the value |", nodeValLen),
		fmt.Sprintf("| n + %d | | internal key", nodeKey),
	} {
		if !strings.Contains(section, row) {
			t.Errorf("the page does not have %q", row)
		}
	}
}
