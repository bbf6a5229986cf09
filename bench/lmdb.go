package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// lmdbPeer is LMDB, in each process. It needs the library's header to be built,
// so it is behind the build tag lmdb, which buildLMDB sets where the header is
// found; peer_lmdb.go has the rest.
var lmdbPeer = &goPeer{
	peerInfo: peerInfo{
		name: "lmdb",
		about: "LMDB through a thin layer of C, a read transaction renewed for each get; puts with MDB_NOSYNC, " +
			"which survive the death of processes as LevelDB's do, and synced puts with its defaults",
		color: "#d98a3d",
	},
	missing:  func() error { return errors.New(lmdbMissing()) },
	filledBy: "lmdb",
}

// lmdbVariable tells a program that was built again why LMDB is not in it.
const lmdbVariable = "PARTY_BENCH_NO_LMDB"

func lmdbMissing() string {
	if why := os.Getenv(lmdbVariable); why != "" {
		return why
	}
	return "built without the tag lmdb"
}

// buildLMDB builds this program again, with LMDB, into dir, and runs it in place
// of this one. It returns why not.
func buildLMDB(dir string) error {
	cc := exec.Command("cc", "-fsyntax-only", "-xc", "-")
	cc.Stdin = strings.NewReader("#include <lmdb.h>\n")
	if err := cc.Run(); err != nil {
		return errors.New("lmdb.h is not installed, or no C compiler (apt-get install gcc liblmdb-dev)")
	}
	program := filepath.Join(dir, "bench")
	if out, err := exec.Command("go", "build", "-tags", "lmdb", "-o", program, ".").CombinedOutput(); err != nil {
		return fmt.Errorf("go build -tags lmdb: %w: %s", err, strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", "; "))
	}
	return syscall.Exec(program, append([]string{program}, os.Args[1:]...), append(os.Environ(), tempVariable+"="+dir))
}

// tempVariable hands the directory that buildLMDB made to the program that it
// built.
const tempVariable = "PARTY_BENCH_TEMP"
