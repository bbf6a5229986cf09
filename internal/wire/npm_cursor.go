package wire

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/levelparty/party/internal/store"
)

// inbox is what a leader has sent for a cursor and nobody has read yet. The
// link's reader puts in, the cursor's user takes out.
type inbox struct {
	mu    sync.Mutex
	seq   uint64 // what is put in must be of this position; counts up only
	items [][]byte
	// chunks tells where in items each frame ended, for cursors that
	// acknowledge frames.
	chunks []int
	err    error
	end    bool
	wake   chan struct{} // readable if something may be there
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

// put calls change with the inbox locked, if it is still at seq.
func (b *inbox) put(seq uint64, change func()) {
	b.mu.Lock()
	current := b.seq == seq
	if current {
		change()
	}
	b.mu.Unlock()
	if current {
		select {
		case b.wake <- struct{}{}:
		default:
		}
	}
}

// turn empties the inbox and returns the seq from which it fills again.
func (b *inbox) turn() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seq++
	b.items, b.chunks, b.err, b.end = nil, nil, nil, false
	return b.seq
}

// wait returns once something may have been put in. Where the link is down it
// returns ErrConnectionLost.
func (b *inbox) wait(ctx context.Context, l *Link) error {
	select {
	case <-b.wake:
		return nil
	default:
	}
	select {
	case <-b.wake:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-l.down:
		select {
		case <-b.wake: // it came before the link went down
			return nil
		default:
		}
		return fmt.Errorf("read cursor: %w", store.ErrConnectionLost)
	}
}

// place is where a cursor is to go, once its Position has been held against
// its bounds.
type place uint8

const (
	nowhere place = iota // no key is there
	onwards              // behind what was read last
	edge                 // the first key, in reverse the last
	target               // at Position.Key
)

// placeOf tells what pos means within b.
func placeOf(b store.Bounds, pos Position) place {
	switch {
	case b.Empty():
		return nowhere
	case pos.Kind == Continue:
		return onwards
	case pos.Kind == Start:
		return edge
	}
	below := bytes.Compare(pos.Key, b.Lower) <= 0
	above := b.Upper != nil && bytes.Compare(pos.Key, b.Upper) >= 0
	switch {
	case !pos.Reverse && above, pos.Reverse && below:
		return nowhere
	case !pos.Reverse && below, pos.Reverse && above:
		return edge
	}
	return target
}

// iteratorOptions says what a cursor walks in the npm protocols' words. Keys
// are always asked for: without them a walk cannot be taken up again.
func (o CursorOptions) iteratorOptions(b store.Bounds, reverse bool) npmOptions {
	m := rangeOptions(b)
	m.keys, m.values = true, !o.NoValues
	m.reverse = reverse
	if o.Limit >= 0 && o.Limit <= math.MaxInt32 {
		m.limit = o.Limit
	}
	return m
}
