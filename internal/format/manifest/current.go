package manifest

import (
	"bytes"

	"github.com/levelparty/party/internal/format"
)

// CurrentName is the name of the file that names the manifest in use.
const CurrentName = "CURRENT"

// CurrentContents returns what CURRENT holds when manifest n is in use.
func CurrentContents(n format.FileNum) []byte { return []byte(format.ManifestName(n) + "\n") }

// ReadCurrent returns the number of the manifest that the contents of CURRENT
// name. Anything else than a manifest's name and a newline is a
// *format.Corruption: a rename puts CURRENT in place, so it is never cut short.
func ReadCurrent(contents []byte) (format.FileNum, error) {
	name, whole := bytes.CutSuffix(contents, []byte("\n"))
	if !whole {
		return 0, badCurrent("does not end with a newline")
	}
	kind, n, ok := format.ParseFileName(string(name))
	if !ok || kind != format.FileManifest {
		return 0, badCurrent("does not name a manifest")
	}
	return n, nil
}

func badCurrent(reason string) error {
	return &format.Corruption{File: CurrentName, Reason: reason}
}
