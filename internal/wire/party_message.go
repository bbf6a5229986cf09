package wire

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/store"
)

// The protocol between Go processes. One message shape serves all requests and
// one all answers; which fields are there depends on the tag. Unknown fields
// are skipped, so that later versions can add some; an unknown tag ends the
// connection.
//
// Frames from the guest. The first is a hello, once; of the others the tag is
// the Op.
//
//	hello (tag 127)                    request (tag Op)
//	1  version   varint                1  id         varint
//	2  client    bytes, 16             2  floor      varint
//	3  pid       varint                3  key        bytes
//	4  program   bytes                 4  value      bytes
//	5  lead      varint                5  keys       bytes, repeated
//	6  read only varint                6  records    bytes, LevelDB batch records
//	                                   7  lower      bytes
//	                                   8  upper      bytes
//	                                   9  limit      varint, zigzag
//	                                   10 flags      varint
//	                                   11 handle     varint
//	                                   12 name       bytes
//	                                   13 cursor     varint
//	                                   14 position   varint
//	                                   15 max bytes  varint
//	                                   16 max count  varint
//
// Frames from the host. The first answers the hello.
//
//	hello (tag 127)                    answer (tag 0)
//	1  version   varint                1  id         varint
//	3  pid       varint                2  error      varint, see errorCodes
//	4  program   bytes                 3  text       bytes, of the error
//	7  since     varint, Unix ms       4  value      bytes
//	                                   5  found      bytes, repeated, in the order of keys
//	                                   6  missing    varint, repeated, among the found
//	                                   7  entry      bytes, repeated: keys and values
//	                                   8  count      varint
//	                                   9  more       varint
//	                                   10 handle     varint
//
// Before it leaves of its own will the host sends
//
//	goodbye (tag 126)
//	1  wait      varint, ms for which the guest should not try to lead
const (
	tagAnswer  = 0
	tagGoodbye = 126
	tagHello   = 127

	// partyVersion changes when old and new processes would misunderstand each
	// other.
	partyVersion = 1
)

const (
	flagReverse = 1 << iota
	flagSync
	flagNoValues
	flagOpen // of OpRead: the first of its cursor
)

// maxProgram is how much of a program's name is kept, in bytes.
const maxProgram = 255

// Hello is how guest and host introduce themselves.
type Hello struct {
	Version  uint64
	Client   store.ClientID
	PID      int
	Program  string
	Lead     uint8 // the guest's will to lead
	ReadOnly bool
	Since    int64 // of the host: when it began to lead, Unix milliseconds
	Member   bool  // the guest shares memory: it is no guest but for what only the leader can do
}

// errorCodes are the errors that keep their identity over the wire, by code.
// Part of the protocol: never renumber.
var errorCodes = [...]error{
	1: store.ErrNotFound,
	2: store.ErrClosed,
	3: store.ErrReadOnly,
	4: store.ErrCorrupted,
	5: store.ErrTooLarge,
	6: store.ErrInvalid,
	7: store.ErrNotSupported,
	8: errRemote,
	9: store.ErrWriteFailed,
}

const codeRemote = 8

var errRemote = errors.New("party: leader failed")

func errorCode(err error) uint64 {
	for code := 1; code < len(errorCodes); code++ {
		if errors.Is(err, errorCodes[code]) {
			return uint64(code)
		}
	}
	return codeRemote
}

// remoteError is an error of the leader: its text, and what it is.
type remoteError struct {
	text string
	is   error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.is }

// readRequest is the part of a request that only cursors have.
type readRequest struct {
	cursor   uint64
	position PositionKind
	maxBytes int
	maxCount int
	noValues bool
	open     bool
}

// appendNonzero leaves v out if it is zero, which decodes the same.
func appendNonzero(dst []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return appendUint(dst, num, v)
}

func boolUint(b bool, v uint64) uint64 {
	if b {
		return v
	}
	return 0
}

func appendHello(dst []byte, h *Hello) []byte {
	dst, mark := beginFrame(dst, tagHello)
	dst = appendNonzero(dst, 1, h.Version)
	if h.Client != (store.ClientID{}) {
		dst = appendBytes(dst, 2, h.Client[:])
	}
	dst = appendNonzero(dst, 3, uint64(h.PID))
	dst = appendText(dst, 4, h.Program)
	dst = appendNonzero(dst, 5, uint64(h.Lead))
	dst = appendNonzero(dst, 6, boolUint(h.ReadOnly, 1))
	dst = appendNonzero(dst, 8, boolUint(h.Member, 1))
	dst = appendNonzero(dst, 7, uint64(h.Since))
	return endFrame(dst, mark)
}

func decodeHello(msg []byte, h *Hello) error {
	f := walk(msg)
	for f.next() {
		switch f.num {
		case 1:
			h.Version = f.varint()
		case 2:
			client := f.bytes()
			if f.err == nil && len(client) != len(h.Client) {
				return fmt.Errorf("hello: client of %d bytes: %w", len(client), store.ErrInvalid)
			}
			copy(h.Client[:], client)
		case 3:
			h.PID = clampInt(f.varint())
		case 4:
			name := f.bytes()
			h.Program = string(name[:min(len(name), maxProgram)])
		case 5:
			h.Lead = uint8(f.varint())
		case 6:
			h.ReadOnly = f.bool()
		case 8:
			h.Member = f.bool()
		case 7:
			h.Since = int64(f.varint())
		default:
			f.skip()
		}
	}
	return f.require(h.Version != 0)
}

func appendGoodbye(dst []byte, wait time.Duration) []byte {
	dst, mark := beginFrame(dst, tagGoodbye)
	dst = appendUint(dst, 1, uint64(wait.Milliseconds()))
	return endFrame(dst, mark)
}

func decodeGoodbye(msg []byte) (wait time.Duration, err error) {
	f := walk(msg)
	for f.next() {
		if f.num == 1 {
			wait = time.Duration(clampInt(f.varint())) * time.Millisecond
		} else {
			f.skip()
		}
	}
	return wait, f.err
}

// WriteOf returns the write that r, a put, delete or batch, asks for.
func WriteOf(r *Request, id store.Identity) (*store.Write, error) {
	w := &store.Write{Records: r.Records, Count: 1, Sync: r.Sync, Identity: id}
	switch r.Op {
	case OpPut:
		w.Records = format.AppendPut(nil, r.Key, r.Value)
	case OpDelete:
		w.Records = format.AppendDelete(nil, r.Key)
	default:
		var err error
		if w.Count, err = format.CountRecords(r.Records); err != nil {
			return nil, fmt.Errorf("%w: %v", store.ErrInvalid, err)
		}
	}
	return w, nil
}

func appendRequest(dst []byte, id uint64, r *Request) []byte {
	dst, mark := beginFrame(dst, byte(r.Op))
	dst = appendNonzero(dst, 1, id)
	dst = appendNonzero(dst, 2, r.Floor)
	dst = appendOptional(dst, 3, r.Key)
	dst = appendOptional(dst, 4, r.Value)
	for _, k := range r.Keys {
		dst = appendBytes(dst, 5, k)
	}
	dst = appendOptional(dst, 6, r.Records)
	dst = appendOptional(dst, 7, r.Bounds.Lower)
	dst = appendOptional(dst, 8, r.Bounds.Upper)
	dst = appendNonzero(dst, 9, protowire.EncodeZigZag(r.Limit))
	dst = appendNonzero(dst, 10, boolUint(r.Reverse, flagReverse)|boolUint(r.Sync, flagSync)|
		boolUint(r.read.noValues, flagNoValues)|boolUint(r.read.open, flagOpen))
	dst = appendNonzero(dst, 11, r.Handle)
	dst = appendText(dst, 12, r.Name)
	dst = appendNonzero(dst, 13, r.read.cursor)
	dst = appendNonzero(dst, 14, uint64(r.read.position))
	dst = appendNonzero(dst, 15, uint64(r.read.maxBytes))
	dst = appendNonzero(dst, 16, uint64(r.read.maxCount))
	return endFrame(dst, mark)
}

// decodeRequest decodes into r, whose slices become parts of msg.
func decodeRequest(tag byte, msg []byte, r *Request) (id uint64, err error) {
	*r = Request{Op: Op(tag), Keys: r.Keys[:0]}
	f := walk(msg)
	for f.next() {
		switch f.num {
		case 1:
			id = f.varint()
		case 2:
			r.Floor = f.varint()
		case 3:
			r.Key = f.bytes()
		case 4:
			r.Value = f.bytes()
		case 5:
			if key := f.bytes(); len(r.Keys) <= maxKeys { // one more is refused
				r.Keys = append(r.Keys, key)
			}
		case 6:
			r.Records = f.bytes()
		case 7:
			r.Bounds.Lower = f.bytes()
		case 8:
			r.Bounds.Upper = f.bytes()
		case 9:
			r.Limit = f.sint()
		case 10:
			flags := f.varint()
			r.Reverse, r.Sync = flags&flagReverse != 0, flags&flagSync != 0
			r.read.noValues, r.read.open = flags&flagNoValues != 0, flags&flagOpen != 0
		case 11:
			r.Handle = f.varint()
		case 12:
			r.Name = string(f.bytes())
		case 13:
			r.read.cursor = f.varint()
		case 14:
			r.read.position = PositionKind(f.varint())
		case 15:
			r.read.maxBytes = clampInt(f.varint())
		case 16:
			r.read.maxCount = clampInt(f.varint())
		default:
			f.skip()
		}
	}
	return id, f.require(id != 0)
}

func clampInt(v uint64) int { return int(min(v, 1<<30)) }

func appendAnswer(dst []byte, id uint64, r *Response, err error) []byte {
	dst, mark := beginFrame(dst, tagAnswer)
	dst = appendNonzero(dst, 1, id)
	if err != nil {
		dst = appendNonzero(dst, 2, errorCode(err))
		dst = appendText(dst, 3, err.Error())
		return endFrame(dst, mark)
	}
	dst = appendOptional(dst, 4, r.Value)
	for _, v := range r.Values {
		if v == nil {
			dst = appendUint(dst, 6, 0)
		} else {
			dst = appendBytes(dst, 5, v)
		}
	}
	dst = appendNonzero(dst, 8, uint64(r.Count))
	dst = appendNonzero(dst, 9, boolUint(r.More, 1))
	dst = appendNonzero(dst, 10, r.Handle)
	return endFrame(dst, mark)
}

// decodeAnswer decodes an answer. What it returns does not refer to msg.
func decodeAnswer(msg []byte) (id uint64, r Response, failure, err error) {
	var code uint64
	var text string
	f := walk(msg)
	for f.next() {
		switch f.num {
		case 1:
			id = f.varint()
		case 2:
			code = f.varint()
		case 3:
			text = string(f.bytes())
		case 4:
			r.Value = append([]byte{}, f.bytes()...)
		case 5:
			r.Values = append(r.Values, append([]byte{}, f.bytes()...))
		case 6:
			f.skip()
			r.Values = append(r.Values, nil)
		case 7:
			// One copy serves all entries of a chunk.
			if r.chunk == nil {
				rest := append(make([]byte, 0, len(f.rest)), f.rest...)
				f.rest = rest
				r.chunk = &Chunk{Entries: make([][]byte, 0, len(rest)/64+2)}
			}
			r.chunk.Entries = append(r.chunk.Entries, f.bytes())
		case 8:
			r.Count = int64(f.varint())
		case 9:
			r.More = f.bool()
		case 10:
			r.Handle = f.varint()
		default:
			f.skip()
		}
	}
	if code != 0 {
		if code >= uint64(len(errorCodes)) {
			code = codeRemote
		}
		failure = &remoteError{text, errorCodes[code]}
	}
	return id, r, failure, f.require(id != 0)
}
