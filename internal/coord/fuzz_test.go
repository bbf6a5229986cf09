//go:build linux

package coord_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/levelparty/party/internal/coord"
)

// FuzzAttach lays bytes over the control block of a living member.
//
// Property: whatever it holds, joining and all methods return, in time, without a
// panic.
func FuzzAttach(f *testing.F) {
	f.Add(uint16(0), []byte{})
	f.Add(uint16(0), []byte("garbage!"))
	f.Add(uint16(64), []byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255})
	f.Add(uint16(32), []byte{1, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255})
	f.Add(uint16(384), []byte{0, 4, 0, 224, 0, 0, 0, 0, 9, 9, 9, 9})
	f.Add(uint16(384), []byte{0, 4, 0, 128})
	f.Add(uint16(384), []byte{0, 0, 0, 96})
	f.Add(uint16(384), []byte{0, 0, 0, 32})
	f.Add(uint16(512), []byte{7, 0, 0, 192})
	f.Add(uint16(640), []byte{0, 4, 0, 0, 0, 0, 0, 0, 1})
	f.Add(uint16(4096), []byte{255, 255, 255, 255, 255, 255, 255, 255})
	f.Add(uint16(4096+256), []byte{255, 255, 255, 255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, at uint16, b []byte) {
		dir := t.TempDir()
		alive := open(t, dir)
		file, err := os.OpenFile(filepath.Join(dir, coord.Name), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if len(b) > coord.BlockSize-int(at) {
			b = b[:coord.BlockSize-int(at)]
		}
		if _, err := file.WriteAt(b, int64(at)); err != nil {
			t.Fatal(err)
		}
		ctx := timeout(t, 30*time.Millisecond)
		c, first, err := coord.Open(ctx, dir, config)
		if err != nil {
			if first || c != nil {
				t.Error("open returned more than an error")
			}
			c = alive
		}
		within(t, "methods", func() {
			for _, c := range []*coord.Control{c, alive} {
				if _, err := c.Lock(ctx); err == nil {
					c.Publish(stateOf(3))
					c.Repaired(3)
					c.Unlock()
				}
				c.State()
				c.Seq()
				c.Members()
				c.Leader()
				c.OldestPin()
				c.SetPin(4)
				c.Count(1, 1)
				c.NextFile()
				c.EnsureNextFile(10)
				c.Hint(1, 2)
				c.TakeHint()
				c.WaitEpoch(ctx, 0, time.Millisecond)
				_ = c.WaitSeq(timeout(t, time.Millisecond), 1<<50)
				_ = c.Sync(ctx, 1, 1<<60, func() error { return nil })
				_ = c.Failed()
				_ = c.LastRepair()
				_, _ = c.TryLead()
				c.WakeAll()
			}
		})
		if c != alive {
			_ = c.Leave(nil)
		}
		_ = alive.Leave(nil)
		open(t, dir)
	})
}
