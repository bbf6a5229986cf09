package goleveldb

import (
	"fmt"

	"github.com/syndtr/goleveldb/leveldb/comparer"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"

	"github.com/levelparty/party"
)

// Options is what New can be told of a DB. The zero value, and nil, are what
// OpenFile uses.
type Options struct {
	// NoSync makes opt.WriteOptions.Sync of no effect, and Transaction.Commit
	// return before the disk has it. OpenFile sets it to opt.Options.NoSync.
	NoSync bool

	// ResumeIterators lets the iterators of the DB go on when the leader is
	// lost: behind the entry they stand on, in the state that the next leader
	// has. They read the state at their first move, not at their creation, and
	// what they return over a loss may be of two states: for programs that scan
	// a lot and take each entry by itself. By default such an iterator fails
	// with party.ErrSnapshotLost. Iterators of Snapshots and Transactions always
	// do.
	ResumeIterators bool
}

// PartyOptions returns the options for party.Open that o stands for, so that
// they can be completed before New:
//
//	ReadOnly                ReadOnly
//	ErrorIfMissing          MustExist
//	ErrorIfExist            MustNotExist
//	BlockCacheCapacity      Cache, as are DisableBlockCache and the BlockCacher NoCacher
//	OpenFilesCacheCapacity  MaxOpenFiles; 1 for none
//	WriteBuffer             WriteBuffer
//	Compression             Compression
//	Filter                  BloomBits, of a bloom filter
//	NoSync                  nothing: see Options.NoSync
//
// They take effect as party.Options says: most of them in the process that
// leads. Without a Filter tables get party's default one, since any process
// may come to read them.
//
// A Comparer other than the default one is party.ErrInvalid: the order of keys
// has to be the same in all processes, and those in other languages know the
// order of bytes alone. All other options are ignored. They tune goleveldb's
// tables and compaction, or are about write merging and checks of which party
// has its own.
func PartyOptions(o *opt.Options) (*party.Options, error) {
	// By name, which is what goleveldb and LevelDB go by too.
	if name := o.GetComparer().Name(); name != comparer.DefaultComparer.Name() {
		return nil, fmt.Errorf("goleveldb: comparer %q, only %q can be shared: %w",
			name, comparer.DefaultComparer.Name(), party.ErrInvalid)
	}
	p := &party.Options{
		ReadOnly:     o.GetReadOnly(),
		MustExist:    o.GetErrorIfMissing(),
		MustNotExist: o.GetErrorIfExist(),
	}
	if o == nil {
		return p, nil
	}
	p.Cache = o.BlockCacheCapacity
	if o.DisableBlockCache || o.BlockCacher == opt.NoCacher {
		p.Cache = -1
	}
	p.WriteBuffer = max(o.WriteBuffer, 0)
	p.MaxOpenFiles = o.OpenFilesCacheCapacity
	if p.MaxOpenFiles < 0 || o.OpenFilesCacher == opt.NoCacher {
		p.MaxOpenFiles = 1
	}
	if o.Compression == opt.NoCompression {
		p.Compression = party.NoCompression
	}
	p.BloomBits = bloomBits(o.Filter)
	return p, nil
}

// bloomBits returns how many bits per key f spends, 0 if f is no bloom filter.
// goleveldb does not export the type, so a filter is made and measured.
func bloomBits(f filter.Filter) int {
	if f == nil || f.Name() != filter.NewBloomFilter(10).Name() {
		return 0
	}
	const keys = 800 // enough to be above the smallest filter, 64 bits
	g := f.NewGenerator()
	for i := range keys {
		g.Add([]byte{byte(i), byte(i >> 8)})
	}
	var size measure
	g.Generate(&size)
	return max(1, (int(size)-1)*8/keys) // the last byte counts the probes
}

// measure is a filter.Buffer that keeps the size of what is written to it.
type measure int

func (m *measure) Alloc(n int) []byte {
	*m += measure(n)
	return make([]byte, n)
}

func (m *measure) Write(p []byte) (int, error) {
	*m += measure(len(p))
	return len(p), nil
}

func (m *measure) WriteByte(byte) error {
	*m++
	return nil
}
