package coord

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/vfs"
)

// What a leader had said it would write and has not written must not be taken
// for written, when others have been given its sequence numbers. So leader.cut
// lives until somebody has read it, longer than the members if need be.

const cutOffset = int64(unsafe.Offsetof(block{}.leader) + unsafe.Offsetof(leader{}.cut))

// LeaderCut reports whether the leader before died inside the write lock, and
// at which sequence number the repair has left the database. REQUIRES: TryLead,
// or to be the first; and the write lock was held since.
func (c *Control) LeaderCut() (seq format.SeqNum, ok bool) {
	n := c.b.leader.cut.Load()
	return format.SeqNum(n - 1), n != 0
}

// SettleCut calls settle with what LeaderCut would tell the next first member,
// and clears it unless settle fails. It is for who does not share memory.
// REQUIRES: nobody has dir open.
func SettleCut(dir string, settle func(seq format.SeqNum, ok bool) error) error {
	f, err := vfs.OpenRegular(filepath.Join(dir, Name), false)
	if errors.Is(err, os.ErrNotExist) {
		return settle(0, false)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	cut := readCut(f)
	if cut == 0 {
		return settle(0, false)
	}
	if err := settle(format.SeqNum(cut-1), true); err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, 8), cutOffset)
	return err
}

// readCut returns the leader.cut of a block, 0 if it is none.
func readCut(f *os.File) uint64 {
	var h struct{ magic, version, size uint64 }
	var cut [8]byte
	if err := readWords(f, &h.magic, &h.version, &h.size); err != nil || h.magic != magic || h.version != layoutVersion || h.size != blockSize {
		return 0
	}
	if _, err := f.ReadAt(cut[:], cutOffset); err != nil {
		return 0
	}
	return binary.NativeEndian.Uint64(cut[:])
}
