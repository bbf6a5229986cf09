package wire

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/levelparty/party/internal/store"
)

// A frame, as npm's length-prefixed-stream writes it:
//
//	frame := uvarint(length of tag and message) tag message
//
// tag is one byte, message a protobuf message. Empty frames are skipped, as
// the npm packages do.

const (
	idleBuffer = 16 << 10 // what a silent connection costs
	busyBuffer = 64 << 10 // what it reads with while there is much to read
)

var busyBuffers = sync.Pool{New: func() any { b := make([]byte, busyBuffer); return &b }}

// frameReader cuts a stream into frames. A connection on which nothing happens
// holds only idleBuffer; a frame's memory is allocated as its bytes arrive,
// never on the word of its length.
type frameReader struct {
	src   io.Reader
	max   int
	small []byte  // idleBuffer, always there
	busy  *[]byte // from busyBuffers while in use
	buf   []byte  // small, *busy, or one of its own for a large frame
	r, w  int     // unread bytes are buf[r:w]
	// room, if not nil, waits until there is room for a large frame.
	room func(size int) (*hold, error)
	held *hold
}

func newFrameReader(src io.Reader, max int) *frameReader {
	if max <= 0 {
		max = DefaultMaxFrame
	}
	f := &frameReader{src: src, max: max, small: make([]byte, idleBuffer)}
	f.buf = f.small
	return f
}

// next returns the next frame, tag byte first, valid until the following call.
// At the clean end of the stream it returns io.EOF, in the middle of a frame
// io.ErrUnexpectedEOF.
func (f *frameReader) next() ([]byte, error) {
	for {
		frame, need, err := f.parse()
		if err != nil || frame != nil {
			return frame, err
		}
		if err := f.fill(need); err != nil {
			if err == io.EOF && f.w > f.r {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// buffered reports whether next would return without reading.
func (f *frameReader) buffered() bool {
	for {
		size, n := binary.Uvarint(f.buf[f.r:f.w])
		if n > 0 && size == 0 {
			f.r += n // an empty frame is nothing that next returns for
			continue
		}
		return n < 0 || n > 0 && (size > uint64(f.max) || uint64(f.w-f.r-n) >= size)
	}
}

// parse takes a whole frame out of the buffer; if there is none it says how
// many bytes, from r, the frame at r will need.
func (f *frameReader) parse() (frame []byte, need int, err error) {
	for {
		size, n := binary.Uvarint(f.buf[f.r:f.w])
		if n < 0 {
			return nil, 0, fmt.Errorf("frame length overflows: %w", store.ErrInvalid)
		}
		if n == 0 {
			return nil, f.w - f.r + 1, nil
		}
		if size > uint64(f.max) {
			return nil, 0, fmt.Errorf("frame of %d bytes, limit %d: %w", size, f.max, store.ErrTooLarge)
		}
		end := f.r + n + int(size)
		if end > f.w {
			return nil, end - f.r, nil
		}
		frame = f.buf[f.r+n : end : end]
		f.r = end
		if size > 0 {
			return frame, 0, nil
		}
	}
}

// fill reads at least one byte, with room for at most double of what has
// arrived so far and never more than need.
func (f *frameReader) fill(need int) error {
	if f.r == f.w {
		f.r, f.w = 0, 0
		if len(f.buf) != idleBuffer && need <= idleBuffer {
			f.release()
		}
	}
	if f.r+need > len(f.buf) {
		have := f.buf[f.r:f.w]
		switch {
		case need <= len(f.buf) && f.r > 0: // slide
			copy(f.buf, have)
		case len(f.buf) < busyBuffer:
			busy := busyBuffers.Get().(*[]byte)
			copy(*busy, have)
			f.busy, f.buf = busy, *busy
		case len(have) == len(f.buf):
			if err := f.reserve(need); err != nil {
				return err
			}
			grown := make([]byte, min(need, 2*len(f.buf)))
			copy(grown, have)
			f.returnBusy()
			f.buf = grown
		default:
			copy(f.buf, have)
		}
		f.r, f.w = 0, len(have)
	}
	n, err := f.src.Read(f.buf[f.w:])
	f.w += n
	if n > 0 {
		if f.w == idleBuffer && len(f.buf) == idleBuffer && f.r == 0 {
			// It came in full: more is waiting. Read on with a larger buffer.
			busy := busyBuffers.Get().(*[]byte)
			copy(*busy, f.buf)
			f.busy, f.buf = busy, *busy
		}
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// reserve takes room for a frame of size bytes, all of it at once: two readers
// that had a part each would wait for each other.
func (f *frameReader) reserve(size int) (err error) {
	if f.room == nil || f.held != nil && f.held.size >= int64(size) {
		return nil
	}
	f.held.release()
	f.held, err = f.room(size)
	return err
}

// release goes back to the small buffer. Unread bytes are lost.
func (f *frameReader) release() {
	f.held.release()
	f.held = nil
	f.returnBusy()
	f.buf, f.r, f.w = f.small, 0, 0
}

func (f *frameReader) returnBusy() {
	if f.busy != nil {
		busyBuffers.Put(f.busy)
		f.busy = nil
	}
}

// beginFrame opens a frame in dst; endFrame, given the mark it returned,
// closes it once the message is appended.
func beginFrame(dst []byte, tag byte) (out []byte, mark int) {
	// Five bytes hold any length up to 32 GiB; the few that most lengths do
	// not need are closed up by endFrame.
	return append(dst, 0, 0, 0, 0, 0, tag), len(dst)
}

const frameHeader = 5

func endFrame(dst []byte, mark int) []byte {
	size := len(dst) - mark - frameHeader
	n := protowire.SizeVarint(uint64(size))
	copy(dst[mark+n:], dst[mark+frameHeader:])
	binary.PutUvarint(dst[mark:], uint64(size))
	return dst[:len(dst)-frameHeader+n]
}
