package sstable_test

import (
	"encoding/binary"
	"sync"
	"testing"

	"github.com/levelparty/party/internal/format/sstable"
)

func cached(file, offset uint64, size int) []byte {
	b := make([]byte, size)
	binary.LittleEndian.PutUint64(b, file)
	binary.LittleEndian.PutUint64(b[8:], offset)
	return b
}

func TestCache(t *testing.T) {
	const capacity = 1 << 20
	c := sstable.NewCache(capacity)
	count := func(files uint64) (n, size int) {
		for file := range files {
			for i := range uint64(1000) {
				if b := c.Get(file, i*4096); b != nil {
					if binary.LittleEndian.Uint64(b) != file || binary.LittleEndian.Uint64(b[8:]) != i*4096 {
						t.Fatalf("file %d, block %d is another", file, i)
					}
					n++
					size += len(b)
				}
			}
		}
		return n, size
	}
	for file := range uint64(20) {
		for i := range uint64(100) {
			c.Put(file, i*4096, cached(file, i*4096, 1000+int(i*100)))
			c.Get(0, 0)
		}
	}
	n, size := count(20)
	if size > capacity || size < capacity*3/4 {
		t.Errorf("%d blocks of %d bytes for a capacity of %d", n, size, capacity)
	}
	if c.Get(0, 0) == nil {
		t.Error("what was always asked for is gone")
	}
	c.Put(99, 0, make([]byte, 2*capacity))
	if c.Get(99, 0) != nil {
		t.Error("keeps a block larger than itself")
	}
	for _, none := range []int{0, -5} {
		c := sstable.NewCache(none)
		c.Put(1, 1, make([]byte, 10))
		if c.Get(1, 1) != nil {
			t.Errorf("a cache of %d bytes keeps some", none)
		}
	}
}

func TestCacheConcurrent(t *testing.T) {
	c := sstable.NewCache(100 << 10)
	var wg sync.WaitGroup
	for g := range uint64(4) {
		wg.Go(func() {
			for i := range uint64(20000) {
				file, offset := i%7, (i*g)%50*4096
				b := c.Get(file, offset)
				if b == nil {
					c.Put(file, offset, cached(file, offset, 2000))
				} else if binary.LittleEndian.Uint64(b) != file || binary.LittleEndian.Uint64(b[8:]) != offset {
					t.Errorf("file %d, offset %d is another", file, offset)
					return
				}
			}
		})
	}
	wg.Wait()
}
