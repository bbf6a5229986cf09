// Package layering tests that imports point one way.
package layering

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/levelparty/party"

// layers says which packages of this module each package may import; ARCHITECTURE.md
// draws the picture. "" is package party itself.
var layers = map[string][]string{
	"internal/failpoint":       nil,
	"internal/store":           nil,
	"internal/vfs":             nil,
	"internal/format":          {"internal/store"},
	"internal/format/wal":      {"internal/format"},
	"internal/format/manifest": {"internal/format"},
	"internal/format/sstable":  {"internal/store", "internal/format"},
	"internal/memtable":        {"internal/failpoint", "internal/store", "internal/format"},
	"internal/coord":           {"internal/failpoint", "internal/store", "internal/format", "internal/vfs"},
	"internal/lsm": {
		"internal/failpoint", "internal/store", "internal/format", "internal/format/wal", "internal/format/manifest", "internal/format/sstable",
		"internal/memtable", "internal/vfs", "internal/coord",
	},
	"internal/wire":   {"internal/store", "internal/format"},
	"internal/leader": {"internal/failpoint", "internal/store", "internal/format", "internal/vfs", "internal/coord", "internal/lsm"},
	"":                {"internal/store", "internal/format", "internal/vfs", "internal/coord", "internal/lsm", "internal/leader", "internal/wire"},
	"goleveldb":       {"", "internal/vfs"},
	"cmd/party":       {""},

	// For tests alone: nothing above may import these.
	"internal/partytest":     nil,
	"internal/dbtest":        {""},
	"internal/wire/memstore": {"internal/store", "internal/format"},
	"internal/wire/wiretest": {"internal/store", "internal/format", "internal/wire"},
	"tests/linear":           {"", "internal/partytest", "internal/dbtest"},
}

// outside says who may import what is not ours, by the beginning of its path.
// What is not listed anybody may.
var outside = map[string][]string{
	"golang.org/x/sys/": {
		"internal/vfs",
		"cmd/party",    // the terminal on Windows
		"tests/linear", // the clock that all processes share
	},
	"syscall": {
		"internal/vfs",
		"internal/failpoint",          // the signal it dies of
		"internal/coord", "goleveldb", // the numbers and names of errors
		"cmd/party", // signals
	},
	"github.com/Microsoft/go-winio":     {"internal/vfs"},
	"github.com/klauspost/compress/":    {"internal/format/sstable"},
	"github.com/syndtr/goleveldb/":      {"goleveldb"},
	"google.golang.org/protobuf/":       {"internal/wire"},
	"github.com/anishathalye/porcupine": {"tests/linear"},
	"github.com/spf13/cobra":            {"cmd/party"},
	"golang.org/x/term":                 {"cmd/party"},
	"github.com/rogpeppe/go-internal":   nil, // tests alone
}

func TestLayers(t *testing.T) {
	root := filepath.Join("..", "..")
	imports, err := readImports(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range slices.Sorted(maps.Keys(imports)) {
		may, known := layers[pkg]
		if !known {
			t.Errorf("package %q is in no layer: add it to the table", pkg)
			continue
		}
		for path, file := range imports[pkg] {
			if own, ok := cutModule(path); ok {
				if !slices.Contains(may, own) {
					t.Errorf("%s: package %q imports %q, which is not below it", file, pkg, own)
				}
				continue
			}
			for prefix, who := range outside {
				if strings.HasPrefix(path, prefix) && !slices.Contains(who, pkg) {
					t.Errorf("%s: package %q imports %s", file, pkg, path)
				}
			}
		}
	}
	// A table that allows what nobody does says nothing.
	for pkg, may := range layers {
		for _, own := range may {
			path := strings.TrimSuffix(module+"/"+own, "/")
			if _, does := imports[pkg][path]; !does {
				t.Errorf("package %q does not import %q: take it off the table", pkg, own)
			}
		}
	}
	for prefix, who := range outside {
		for _, pkg := range who {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(imports[pkg])), func(path string) bool {
				return strings.HasPrefix(path, prefix)
			}) {
				t.Errorf("package %q does not import %s: take it off the table", pkg, prefix)
			}
		}
	}
}

// readImports returns what the files of each package import, those of all
// systems and without tests, each with one file that does. It reads the files
// itself: what a go command printed would be cached with the test's result.
func readImports(root string) (map[string]map[string]string, error) {
	imports := make(map[string]map[string]string)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			name := d.Name()
			if rel == "bench" || name == "testdata" || name == "node_modules" || rel != "." && strings.HasPrefix(name, ".") {
				return fs.SkipDir // bench is a module of its own
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(rel)), ".")
		if imports[pkg] == nil {
			imports[pkg] = make(map[string]string)
		}
		for _, spec := range f.Imports {
			of, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imports[pkg][of] = rel
		}
		return nil
	})
	return imports, err
}

// cutModule returns path within this module.
func cutModule(path string) (own string, ok bool) {
	if path == module {
		return "", true
	}
	return strings.CutPrefix(path, module+"/")
}
