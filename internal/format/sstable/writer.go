package sstable

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/s2"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/store"
)

// WriterOptions say how a table is made. Zero values are LevelDB's defaults,
// but for compression, which there is none by itself.
type WriterOptions struct {
	// BlockSize is how long a data block gets, in bytes before compression.
	// Default 4096.
	BlockSize int
	// RestartInterval is how many entries share the beginnings of their keys.
	// Default 16.
	RestartInterval int
	// Compression is tried on every block, and undone where it saves less
	// than a quarter.
	Compression Compression
	// BloomBits is the size of the filter for each key. Default 10, at which
	// one of a hundred absent keys is looked for in vain. Negative: no filter.
	BloomBits int
}

const (
	defaultBlockSize       = 4096
	defaultRestartInterval = 16
	defaultBloomBits       = 10
	// flushSize is how many bytes are written at once, at least.
	flushSize = 64 << 10
	// maxEntry keeps offsets in a block within their 32 bits.
	maxEntry = math.MaxInt32 / 2
)

// Writer makes a table. It need not be closed; what is unfinished is no table.
type Writer struct {
	w    io.Writer
	opts WriterOptions
	err  error
	done bool

	buf     []byte // what is not yet written; the data block at hand ends it
	written uint64 // the offset of buf in the file
	data    blockWriter
	filter  filterWriter

	index    []byte // the index block
	indexer  blockWriter
	pending  handle // the block behind which there is no index entry yet
	last     []byte // the last key of that block
	hasBlock bool   // there is such a block

	scratch []byte
}

// NewWriter begins a table at the place where w writes.
func NewWriter(w io.Writer, o WriterOptions) *Writer {
	if o.BlockSize <= 0 {
		o.BlockSize = defaultBlockSize
	}
	if o.RestartInterval <= 0 {
		o.RestartInterval = defaultRestartInterval
	}
	if o.BloomBits == 0 {
		o.BloomBits = defaultBloomBits
	}
	t := &Writer{w: w, opts: o, buf: make([]byte, 0, flushSize+2*min(o.BlockSize, flushSize))}
	t.data.interval = o.RestartInterval
	t.data.begin(t.buf)
	t.indexer.interval = 1
	t.indexer.begin(t.index)
	if o.BloomBits > 0 {
		t.filter.init(o.BloomBits)
	}
	return t
}

// Add appends an entry. REQUIRES: ikey is greater than all before.
func (t *Writer) Add(ikey, value []byte) error {
	switch {
	case t.err != nil:
		return t.err
	case t.done:
		return errFinished
	case len(ikey) < format.TrailerLen || len(ikey) > maxEntry || len(value) > maxEntry:
		return t.fail(fmt.Errorf("table: entry with a key of %d and a value of %d bytes: %w", len(ikey), len(value), store.ErrInvalid))
	case t.data.empty(t.buf):
		if t.hasBlock {
			if format.CompareInternal(t.last, ikey) >= 0 {
				return t.fail(errOrder)
			}
			t.scratch = format.Separator(t.scratch[:0], t.last, ikey)
			t.addIndex(t.scratch)
		}
	case format.CompareInternal(t.data.last, ikey) >= 0:
		return t.fail(errOrder)
	}
	if t.opts.BloomBits > 0 {
		t.filter.add(format.UserKey(ikey))
	}
	t.buf = t.data.add(t.buf, ikey, value)
	if t.data.size(t.buf) >= t.opts.BlockSize {
		return t.endData()
	}
	return nil
}

var (
	errOrder    = fmt.Errorf("table: keys do not ascend: %w", store.ErrInvalid)
	errFinished = errors.New("table: finished already")
)

func (t *Writer) fail(err error) error {
	t.err = err
	return err
}

// EstimatedSize returns how long the table would be if it were finished, but
// for index and filter.
func (t *Writer) EstimatedSize() uint64 { return t.written + uint64(len(t.buf)) }

// Size returns the length of the file, after Finish.
func (t *Writer) Size() uint64 { return t.written + uint64(len(t.buf)) }

// Finish writes what is left. It does not sync.
func (t *Writer) Finish() error {
	if t.err != nil {
		return t.err
	}
	if t.done {
		return errFinished
	}
	if !t.data.empty(t.buf) {
		if err := t.endData(); err != nil {
			return err
		}
	}
	t.done = true
	if t.hasBlock {
		t.scratch = format.Successor(t.scratch[:0], t.last)
		t.addIndex(t.scratch)
	}
	meta := &t.data
	var filterAt handle
	if t.opts.BloomBits > 0 {
		start := len(t.buf)
		t.buf = append(t.buf, t.filter.finish()...)
		filterAt = t.endBlock(start, None)
	}
	meta.begin(t.buf)
	if t.opts.BloomBits > 0 {
		t.buf = meta.add(t.buf, []byte(filterName), filterAt.append(nil))
	}
	t.buf = meta.finish(t.buf)
	var f footer
	f.metaindex = t.endBlock(meta.start, t.opts.Compression)

	start := len(t.buf)
	t.buf = append(t.buf, t.indexer.finish(t.index)...)
	f.index = t.endBlock(start, t.opts.Compression)
	t.buf = f.append(t.buf)
	return t.flush()
}

func (t *Writer) addIndex(key []byte) {
	var b [maxHandleLen]byte
	t.index = t.indexer.add(t.index, key, t.pending.append(b[:0]))
	t.hasBlock = false
}

// endData ends the data block at hand and begins the next.
func (t *Writer) endData() error {
	t.buf = t.data.finish(t.buf)
	t.pending = t.endBlock(t.data.start, t.opts.Compression)
	t.hasBlock = true
	t.last, t.data.last = t.data.last, t.last
	if t.opts.BloomBits > 0 {
		t.filter.startBlock(t.written + uint64(len(t.buf)))
	}
	if len(t.buf) >= flushSize {
		if err := t.flush(); err != nil {
			return err
		}
	}
	t.data.begin(t.buf)
	return nil
}

// minSaving: a block is kept compressed if that saves a quarter of it. LevelDB
// takes an eighth. A raw block is read where it is mapped, which all processes
// share; one that is compressed has to be unpacked, into memory of each process.
const minSaving = 4

// endBlock compresses the block that is in buf from start on, if c and what it
// saves say so, and appends its trailer.
func (t *Writer) endBlock(start int, c Compression) handle {
	if c == Snappy {
		raw := t.buf[start:]
		if n := s2.MaxEncodedLen(len(raw)); cap(t.scratch) < n {
			t.scratch = make([]byte, n)
		}
		packed := s2.EncodeSnappy(t.scratch[:cap(t.scratch)], raw)
		if len(packed) < len(raw)-len(raw)/minSaving {
			t.buf = append(t.buf[:start], packed...)
		} else {
			c = None
		}
	}
	h := handle{offset: t.written + uint64(start), size: uint64(len(t.buf) - start)}
	t.buf = appendBlockTrailer(t.buf, start, c)
	return h
}

func (t *Writer) flush() error {
	n, err := t.w.Write(t.buf)
	if err == nil && n < len(t.buf) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return t.fail(fmt.Errorf("table: %w", err))
	}
	t.written += uint64(n)
	t.buf = t.buf[:0]
	return nil
}
