//go:build linux

package security

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/partytest"
)

// work opens the database under a umask and does all that makes files. It stays
// open until it is told to end.
func work(p *partytest.Self) error {
	umask, err := strconv.ParseUint(p.Args[1], 8, 32)
	if err != nil {
		return err
	}
	syscall.Umask(int(umask))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	db, err := party.Open(ctx, p.Args[0], &party.Options{WriteBuffer: 64 << 10, Sockets: p.Args[2] == "sockets"})
	if err != nil {
		return err
	}
	defer db.Close()
	for i := range 10 {
		if err := db.Put(ctx, fmt.Appendf(nil, "k%d", i), make([]byte, 50<<10), party.WriteOptions{Sync: true}); err != nil {
			return err
		}
	}
	if err := db.CompactRange(ctx, party.Range{}); err != nil {
		return err
	}
	p.Report(outcome{OK: true})
	var order string
	return p.Order(&order)
}

// Property: what lets others in is for the user alone, whatever the umask; all
// else has 0644 and the directory 0777, less the umask, as LevelDB has it. So a
// umask of 077 keeps everything to the user.
func TestModesOfUmask(t *testing.T) {
	for _, umask := range []os.FileMode{0, 0o022, 0o077} {
		for _, ways := range [][]string{{"memory", "memory", "sockets"}, {"sockets", "sockets"}} {
			t.Run(fmt.Sprintf("%03o/%s", umask, strings.Join(ways, " ")), func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "db")
				var all []*partytest.Process
				for _, way := range ways {
					p := partytest.Start(t, "work", dir, fmt.Sprintf("%o", umask), way)
					var o outcome
					p.Expect(&o)
					all = append(all, p)
				}
				check := func() {
					t.Helper()
					info, err := os.Stat(dir)
					if err != nil || info.Mode().Perm() != 0o777&^umask {
						t.Errorf("the directory: %v, %v", info.Mode(), err)
					}
					entries, err := os.ReadDir(dir)
					if err != nil {
						t.Fatal(err)
					}
					for _, e := range entries {
						want := 0o644 &^ umask
						if e.Type() == os.ModeSocket || e.Name() == "party.shm" || e.Name() == "party.once" || strings.HasSuffix(e.Name(), ".mem") {
							want = 0o600
						}
						info, err := e.Info()
						if errors.Is(err, fs.ErrNotExist) {
							continue // it has just been compacted away
						}
						if err != nil || info.Mode().Perm() != want {
							t.Errorf("%s: %v, %v, want %v", e.Name(), info.Mode(), err, want)
						}
					}
				}
				check()
				all[0].Kill() // the next one takes over
				all[1].End()
				if len(all) > 2 {
					all[2].End()
				}
				check()
			})
		}
	}
}
