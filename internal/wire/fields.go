package wire

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/levelparty/party/internal/store"
)

// fields walks through the fields of a protobuf message without allocating.
// Its slices are parts of the message. After the walk, err says whether the
// message was whole.
//
//	for f := walk(msg); f.next(); {
//		switch f.num {
//		case 1:
//			id = f.varint()
//		default:
//			f.skip()
//		}
//	}
type fields struct {
	rest []byte
	num  protowire.Number
	typ  protowire.Type
	err  error
}

func walk(msg []byte) fields { return fields{rest: msg} }

// next goes to the next field, which varint, bytes or skip must then consume.
func (f *fields) next() bool {
	if f.err != nil || len(f.rest) == 0 {
		return false
	}
	num, typ, n := protowire.ConsumeTag(f.rest)
	if n < 0 {
		f.fail(n)
		return false
	}
	f.num, f.typ, f.rest = num, typ, f.rest[n:]
	return true
}

func (f *fields) varint() uint64 {
	if !f.is(protowire.VarintType) {
		return 0
	}
	v, n := protowire.ConsumeVarint(f.rest)
	if n < 0 {
		f.fail(n)
		return 0
	}
	f.rest = f.rest[n:]
	return v
}

// sint reads a sint64.
func (f *fields) sint() int64 { return protowire.DecodeZigZag(f.varint()) }

func (f *fields) bool() bool { return f.varint() != 0 }

// bytes never returns nil for a field that is there: present but empty differs
// from absent.
func (f *fields) bytes() []byte {
	if !f.is(protowire.BytesType) {
		return nil
	}
	v, n := protowire.ConsumeBytes(f.rest)
	if n < 0 {
		f.fail(n)
		return nil
	}
	f.rest = f.rest[n:]
	if v == nil {
		v = []byte{}
	}
	return v[:len(v):len(v)]
}

// skip passes over a field that is not known.
func (f *fields) skip() {
	n := protowire.ConsumeFieldValue(f.num, f.typ, f.rest)
	if n < 0 {
		f.fail(n)
		return
	}
	f.rest = f.rest[n:]
}

func (f *fields) is(want protowire.Type) bool {
	if f.typ != want && f.err == nil {
		f.err = fmt.Errorf("field %d has wire type %d, want %d: %w", f.num, f.typ, want, store.ErrInvalid)
	}
	return f.err == nil
}

// fail hides protowire's io.ErrUnexpectedEOF: a damaged message in a whole
// frame is not the end of the stream.
func (f *fields) fail(n int) {
	f.err = fmt.Errorf("damaged message: %v: %w", protowire.ParseError(n), store.ErrInvalid)
}

// require is f.err, or an error if a field the message cannot be without was
// absent.
func (f *fields) require(present bool) error {
	if f.err == nil && !present {
		return fmt.Errorf("message lacks a required field: %w", store.ErrInvalid)
	}
	return f.err
}

// appendUint writes v also if it is 0, as the npm encoders do.
func appendUint(dst []byte, num protowire.Number, v uint64) []byte {
	dst = protowire.AppendTag(dst, num, protowire.VarintType)
	return protowire.AppendVarint(dst, v)
}

func appendSint(dst []byte, num protowire.Number, v int64) []byte {
	return appendUint(dst, num, protowire.EncodeZigZag(v))
}

func appendBool(dst []byte, num protowire.Number, v bool) []byte {
	return appendUint(dst, num, protowire.EncodeBool(v))
}

// appendBytes writes v also if it is empty or nil.
func appendBytes(dst []byte, num protowire.Number, v []byte) []byte {
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	return protowire.AppendBytes(dst, v)
}

// appendOptional leaves v out if it is nil.
func appendOptional(dst []byte, num protowire.Number, v []byte) []byte {
	if v == nil {
		return dst
	}
	return appendBytes(dst, num, v)
}

// appendText leaves s out if it is empty.
func appendText(dst []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	return protowire.AppendString(dst, s)
}

// orEmpty makes a nil slice an empty one: present, not absent.
func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
