package wire

import (
	"context"

	"github.com/levelparty/party/internal/store"
)

// gather holds writes that a guest sent one right after another, so that they
// can be committed together. They keep their order and each stays atomic on
// its own.
type gather struct {
	records []byte // of all writes; each write's Records are a part of it
	ids     []uint64
	writes  []store.Write
	batch   []*store.Write
}

// add takes in the write id. records is g.records with the write's own
// appended, which copies them out of the frame they come from.
func (g *gather) add(id uint64, count int, records []byte) {
	// Where append had to move, earlier writes keep pointing to the old array,
	// which is as good.
	own := records[len(g.records):]
	g.records = records
	g.ids = append(g.ids, id)
	g.writes = append(g.writes, store.Write{Records: own, Count: count})
}

// full reports whether enough is gathered that no more should wait for it.
func (g *gather) full() bool {
	return len(g.records) > maxGather || len(g.ids) >= maxGathered
}

// maxGathered bounds the writes gathered into one commit.
const maxGathered = 4096

// commit applies what was gathered and reports each outcome in order. It
// returns the first error of answer.
func (g *gather) commit(ctx context.Context, s store.Store, answer func(id uint64, err error) error) error {
	if len(g.ids) == 0 {
		return nil
	}
	for i := range g.writes {
		if g.writes[i].Count > 0 { // an empty batch is done as it is
			g.batch = append(g.batch, &g.writes[i])
		}
	}
	if len(g.batch) > 0 {
		s.Commit(ctx, g.batch)
	}
	var first error
	for i, id := range g.ids {
		if err := answer(id, g.writes[i].Err); err != nil && first == nil {
			first = err
		}
	}
	g.reset()
	return first
}

// reset keeps the memory of ordinary rounds, so that a guest costs little
// when it is silent.
func (g *gather) reset() {
	if cap(g.records) > busyBuffer || cap(g.writes) > 256 {
		*g = gather{}
		return
	}
	clear(g.writes)
	clear(g.batch)
	g.records, g.ids, g.writes, g.batch = g.records[:0], g.ids[:0], g.writes[:0], g.batch[:0]
}
