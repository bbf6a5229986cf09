package sstable

import (
	"bytes"
	"cmp"
	"encoding/binary"

	"github.com/levelparty/party/internal/format"
)

// compare orders the internal key ikey and the one of user and trailer.
func compare(ikey, user []byte, trailer uint64) int {
	if c := bytes.Compare(ikey[:len(ikey)-format.TrailerLen], user); c != 0 {
		return c
	}
	return cmp.Compare(trailer, format.KeyTrailer(ikey))
}

// lookup finds the first entry of user in block whose trailer is at most
// limit. It makes no keys of entries and so needs no memory: it only keeps how
// the bytes of the last one, trailer and all, compare with user.
func lookup(block, user []byte, limit uint64) (value []byte, trailer uint64, found, ok bool) {
	entries, restarts, ok := splitBlock(block)
	if !ok {
		return nil, 0, false, false
	}
	next := 0
	for lo, hi := 0, len(restarts)/4-1; lo < hi; {
		mid := int(uint(lo+hi+1) / 2)
		off := int(binary.LittleEndian.Uint32(restarts[4*mid:]))
		shared, unshared, _, body, ok := decodeEntry(entries, off)
		if !ok || shared != 0 || unshared < format.TrailerLen {
			return nil, 0, false, false
		}
		if compare(entries[body:body+unshared], user, limit) < 0 {
			lo, next = mid, off
		} else {
			hi = mid - 1
		}
	}
	const (
		short   = iota // the bytes of the key are a beginning of user's
		less           // the first that differs is less than user's
		greater        // or greater
		whole          // user is a beginning of the key's bytes
	)
	var (
		state  = short
		common = 0     // bytes that the key and user begin with
		keyLen = 0     // of the whole key
		tail   [8]byte // whole: what follows user in the key
	)
	for next < len(entries) {
		shared, unshared, n, body, ok := decodeEntry(entries, next)
		if !ok || shared > keyLen || shared+unshared < format.TrailerLen {
			return nil, 0, false, false
		}
		key := entries[body : body+unshared]
		next = body + unshared + n
		keyLen = shared + unshared
		if shared <= common { // else it differs from user where the key before did
			common = shared + sharedLen(key, user[shared:])
			switch {
			case common == len(user):
				state = whole
			case common == keyLen:
				state = short
			case key[common-shared] < user[common]:
				state = less
			default:
				state = greater
			}
		}
		if state <= less {
			continue
		}
		// Where user's bytes go on as the key's trailer does, the user key is
		// a beginning of user, which is less.
		userLen := keyLen - format.TrailerLen
		if state == whole {
			if shared > len(user) {
				copy(tail[min(shared-len(user), len(tail)):], key)
			} else {
				copy(tail[:], key[len(user)-shared:])
			}
			if userLen == len(user) {
				if t := binary.LittleEndian.Uint64(tail[:]); t <= limit {
					return entries[next-n : next : next], t, true, true
				}
				continue
			}
		}
		if userLen > common {
			break
		}
	}
	return nil, 0, false, true
}
