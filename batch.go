package party

import (
	"fmt"

	"github.com/levelparty/party/internal/format"
)

// Batch is a list of puts and deletes that Write applies as one: all of them or
// none, in the order they were added. The zero Batch is empty and ready. Not
// safe for concurrent use.
type Batch struct {
	records []byte // LevelDB's batch records
	n       int
}

// Put adds a put. Key and value are copied.
func (b *Batch) Put(key, value []byte) {
	b.records = format.AppendPut(b.records, key, value)
	b.n++
}

// Delete adds a delete. Key is copied.
func (b *Batch) Delete(key []byte) {
	b.records = format.AppendDelete(b.records, key)
	b.n++
}

// Len returns the number of puts and deletes.
func (b *Batch) Len() int { return b.n }

// Size returns the memory the batch takes, in bytes.
func (b *Batch) Size() int { return len(b.records) }

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() { b.records, b.n = b.records[:0], 0 }

// Append adds all of other's operations.
func (b *Batch) Append(other *Batch) {
	b.records = append(b.records, other.records...)
	b.n += other.n
}

// Replay calls put and del for the operations, in order. The slices are valid
// until the batch is changed.
func (b *Batch) Replay(put func(key, value []byte), del func(key []byte)) error {
	for rest := b.records; len(rest) > 0; {
		var r format.Record
		var err error
		if r, rest, err = format.NextRecord(rest); err != nil {
			return fmt.Errorf("party: replay: %w", err)
		}
		if r.Delete {
			del(r.Key)
		} else {
			put(r.Key, r.Value)
		}
	}
	return nil
}

// Records returns the operations in the form of LevelDB's log: a record after
// the other, without the batch header. The slice is valid until the batch is
// changed.
func (b *Batch) Records() []byte { return b.records }

// SetRecords replaces the operations by records, which are checked and kept
// without a copy. Damaged records are ErrCorrupted and leave the batch as it
// was.
func (b *Batch) SetRecords(records []byte) error {
	n, err := format.CountRecords(records)
	if err != nil {
		return fmt.Errorf("party: batch: %w", err)
	}
	b.records, b.n = records, n
	return nil
}
