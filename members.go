package party

import (
	"context"
	"fmt"
	"time"
)

// MemberInfo describes one of the handles that have the database open
// themselves, through shared memory.
type MemberInfo struct {
	PID     int       `json:"pid"`
	Program string    `json:"program"` // its first 40 bytes
	Role    Role      `json:"role"`    // Leader or Member
	Since   time.Time `json:"since"`   // when it joined
	// Self says that it is the handle that was asked.
	Self bool `json:"self,omitempty"`
	// What it has done since it joined: keys it looked for, puts and deletes, the
	// groups in which those were committed, and the bytes that took in all files.
	Gets         uint64 `json:"gets"`
	Records      uint64 `json:"records"`
	Writes       uint64 `json:"writes"`
	WrittenBytes uint64 `json:"writtenBytes"`
	// What it holds at present.
	Snapshots uint64 `json:"snapshots"`
	Iterators uint64 `json:"iterators"`
	// Pinned counts how many changes to the tree of tables ago the oldest
	// version was made that it still reads. Tables of that version and later
	// ones are kept for it.
	Pinned uint64 `json:"pinned"`
}

// Members returns who has the database open through shared memory. A guest is
// not among them, and cannot ask: ErrNotSupported.
func (db *DB) Members(ctx context.Context) ([]MemberInfo, error) {
	local, link, err := db.way(ctx)
	if err == nil && local == nil {
		err = fmt.Errorf("a guest of a %s leader cannot: %w", link.Proto(), ErrNotSupported)
	}
	if err != nil {
		return nil, opError("members", err)
	}
	members := local.Members()
	infos := make([]MemberInfo, len(members))
	for i, m := range members {
		info := MemberInfo{
			PID: m.PID, Program: m.Program, Role: Member, Since: m.Since, Self: m.Self,
			Gets: m.Gets, Records: m.Records, Writes: m.Writes, WrittenBytes: m.WrittenBytes,
			Snapshots: m.Snapshots, Iterators: m.Iterators, Pinned: m.Behind,
		}
		if m.Leader {
			info.Role = Leader
		}
		infos[i] = info
	}
	return infos, nil
}
