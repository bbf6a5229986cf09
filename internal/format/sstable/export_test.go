package sstable

// What tests outside need from within.
var (
	BloomHash = bloomHash
	CountLess = countLess
	Lookup    = lookup
)

// BuildBlock makes a block of nothing but entries.
func BuildBlock(interval int, keys, values [][]byte) []byte {
	w := blockWriter{interval: interval}
	w.begin(nil)
	var b []byte
	for i := range keys {
		b = w.add(b, keys[i], values[i])
	}
	return w.finish(b)
}

// BlockIter walks one block.
type BlockIter struct{ blockIter }

func (b *BlockIter) Init(block []byte) bool { return b.init(block) }
func (b *BlockIter) First() bool            { return b.first() }
func (b *BlockIter) Last() bool             { return b.last() }
func (b *BlockIter) Next() bool             { return b.forward() }
func (b *BlockIter) Prev() bool             { return b.back() }
func (b *BlockIter) Seek(ikey []byte) bool  { return b.seek(ikey) }
func (b *BlockIter) Bad() bool              { return b.bad }
func (b *BlockIter) Key() []byte            { return b.key }
func (b *BlockIter) Value() []byte          { return b.value }

// FilterBlock makes a filter block: blocks of keys that begin at offsets.
func FilterBlock(bitsPerKey int, offsets []uint64, keys [][][]byte) []byte {
	var w filterWriter
	w.init(bitsPerKey)
	for i, offset := range offsets {
		w.startBlock(offset)
		for _, k := range keys[i] {
			w.add(k)
		}
	}
	return w.finish()
}

// FilterMayContain asks a filter block.
func FilterMayContain(block []byte, offset uint64, key []byte) bool {
	f, _ := parseFilter(block)
	return f.mayContain(offset, bloomHash(key))
}
