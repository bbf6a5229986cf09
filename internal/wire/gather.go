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

// add takes in the write id. appendRecords appends its records to what it is
// given, which is never part of the frame they come from.
func (g *gather) add(id uint64, count int, sync bool, records []byte) {
	// records is g.records with the write's own behind; where append had to
	// move, earlier writes keep pointing to the old array, which is as good.
	own := records[len(g.records):]
	g.records = records
	g.ids = append(g.ids, id)
	g.writes = append(g.writes, store.Write{Records: own, Count: count, Sync: sync})
}

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
	if cap(g.records) > busyBuffer || cap(g.writes) > 1024 {
		*g = gather{}
		return
	}
	clear(g.writes)
	clear(g.batch)
	g.records, g.ids, g.writes, g.batch = g.records[:0], g.ids[:0], g.writes[:0], g.batch[:0]
}
