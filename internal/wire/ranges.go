package wire

import (
	"fmt"

	"github.com/levelparty/party/internal/store"
)

// ranges counts the keys that bound the open iterators of one guest: they are
// kept for as long as the iterators are.
type ranges struct {
	sizes map[uint64]int // by iterator
	total int
}

// add returns b with memory of its own.
func (r *ranges) add(h *Host, id uint64, b store.Bounds) (store.Bounds, error) {
	size, limit := len(b.Lower)+len(b.Upper), max(h.maxFrame()/4, 1<<20)
	if r.total+size > limit {
		return b, fmt.Errorf("bounds of open iterators of more than %d bytes: %w", limit, store.ErrTooLarge)
	}
	if r.sizes == nil {
		r.sizes = make(map[uint64]int)
	}
	r.sizes[id] = size
	r.total += size
	return cloneBounds(b), nil
}

func (r *ranges) remove(id uint64) {
	r.total -= r.sizes[id]
	delete(r.sizes, id)
}
