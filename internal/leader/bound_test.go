package leader

import (
	"encoding/binary"
	"testing"

	"github.com/levelparty/party/internal/store"
)

// Property: however many clients write, and never let go of their ids, so many
// writes are remembered and no more; those of the client heard of last are.
func TestOnceBounded(t *testing.T) {
	o := &once{dir: t.TempDir(), clients: make(map[store.ClientID]*onceClient)}
	var last store.ClientID
	for i := range maxFacts/MaxWindow + 8 {
		binary.LittleEndian.PutUint64(last[:], uint64(i)+1)
		for id := range uint64(MaxWindow) {
			o.note(last, id, 1)
		}
	}
	total := 0
	for _, k := range o.clients {
		total += len(k.applied)
	}
	if total != o.count || total > maxFacts {
		t.Errorf("%d writes are remembered, counted %d, limit %d", total, o.count, maxFacts)
	}
	if k := o.clients[last]; k == nil || len(k.applied) != MaxWindow {
		t.Errorf("the last client was forgotten")
	}
	for id := range o.clients {
		o.drop(id)
	}
	if o.count != 0 {
		t.Errorf("nobody is left, and %d are counted", o.count)
	}
}
