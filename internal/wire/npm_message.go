package wire

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/store"
)

// The messages that many-level and multileveldown have in common. Part of
// both protocols, never change.
//
// In the tables, (r) marks a field the npm decoders insist on. All other
// fields may be absent, and for bytes absent is not the same as empty. The npm
// encoders write every number and bool they have a value for, zeros too, so
// ours do.

// Tags of what a guest sends.
const (
	npmGet      = 0
	npmPut      = 1
	npmDelete   = 2
	npmBatch    = 3
	npmIterator = 4
	npmClear    = 5
	npmGetMany  = 6
)

// Tags of what a host sends.
const (
	npmCallback        = 0
	npmIteratorData    = 1
	npmGetManyCallback = 2
)

// Get, Put and Delete:
//
//	1 varint id (r)
//	2 bytes  key (r)
//	3 bytes  value       Put only
type keyMessage struct {
	id         uint64
	key, value []byte
}

func decodeKeyMessage(msg []byte) (m keyMessage, err error) {
	var hasID bool
	f := walk(msg)
	for f.next() {
		switch f.num {
		case 1:
			m.id, hasID = f.varint(), true
		case 2:
			m.key = f.bytes()
		case 3:
			m.value = f.bytes()
		default:
			f.skip()
		}
	}
	return m, f.require(hasID && m.key != nil)
}

func (m keyMessage) append(dst []byte) []byte {
	dst = appendUint(dst, 1, m.id)
	dst = appendBytes(dst, 2, m.key)
	return appendOptional(dst, 3, m.value)
}

// Batch:
//
//	1 varint    id (r)
//	2 Operation operations, repeated
//
// Operation:
//
//	1 string type (r)    "put" or "del"
//	2 bytes  key (r)
//	3 bytes  value       absent for "del"
//
// The operations are decoded into LevelDB batch records at once, and encoded
// from them.

// decodeBatch appends the operations to records.
func decodeBatch(msg, records []byte) (id uint64, count int, _ []byte, err error) {
	var hasID bool
	f := walk(msg)
	for f.next() {
		switch f.num {
		case 1:
			id, hasID = f.varint(), true
		case 2:
			if records, err = decodeOperation(f.bytes(), records); err != nil && f.err == nil {
				f.err = err
			}
			count++
		default:
			f.skip()
		}
	}
	return id, count, records, f.require(hasID)
}

func decodeOperation(msg, records []byte) ([]byte, error) {
	var kind, key, value []byte
	f := walk(msg)
	for f.next() {
		switch f.num {
		case 1:
			kind = f.bytes()
		case 2:
			key = f.bytes()
		case 3:
			value = f.bytes()
		default:
			f.skip()
		}
	}
	if err := f.require(kind != nil && key != nil); err != nil {
		return records, fmt.Errorf("batch operation: %w", err)
	}
	switch {
	case string(kind) == "del":
		return format.AppendDelete(records, key), nil
	case string(kind) == "put" && value != nil:
		return format.AppendPut(records, key, value), nil
	}
	return records, fmt.Errorf("batch operation %.8q: %w", kind, store.ErrInvalid)
}

func appendBatch(dst []byte, id uint64, records []byte) ([]byte, error) {
	dst = appendUint(dst, 1, id)
	for len(records) > 0 {
		r, rest, err := format.NextRecord(records)
		if err != nil {
			return dst, err
		}
		records = rest
		kind := "put"
		size := sizeBytes(3) + sizeBytes(len(r.Key)) // type, key
		if r.Delete {
			kind = "del"
		} else {
			size += sizeBytes(len(r.Value))
		}
		dst = protowire.AppendTag(dst, 2, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(size))
		dst = appendText(dst, 1, kind)
		dst = appendBytes(dst, 2, r.Key)
		if !r.Delete {
			dst = appendBytes(dst, 3, r.Value)
		}
	}
	return dst, nil
}

// sizeBytes is the size of a bytes field with a number below 16.
func sizeBytes(n int) int { return 1 + protowire.SizeBytes(n) }

// Options of Iterator and Clear:
//
//	1 bool   keys        Iterator only
//	2 bool   values      Iterator only
//	3 bytes  gt
//	4 bytes  gte
//	5 bytes  lt
//	6 bytes  lte
//	7 sint64 limit       -1 for none; absent is 0, which admits nothing
//	8 bool   reverse
type npmOptions struct {
	keys, values     bool
	gt, gte, lt, lte []byte
	limit            int64
	reverse          bool
}

// everything is what the npm hosts take absent options for.
var everything = npmOptions{keys: true, values: true, limit: -1}

func decodeOptions(msg []byte) (o npmOptions, err error) {
	f := walk(msg)
	for f.next() {
		switch f.num {
		case 1:
			o.keys = f.bool()
		case 2:
			o.values = f.bool()
		case 3:
			o.gt = f.bytes()
		case 4:
			o.gte = f.bytes()
		case 5:
			o.lt = f.bytes()
		case 6:
			o.lte = f.bytes()
		case 7:
			o.limit = f.sint()
		case 8:
			o.reverse = f.bool()
		default:
			f.skip()
		}
	}
	return o, f.err
}

// appendRange appends the options both Iterator and Clear have.
func (o npmOptions) appendRange(dst []byte) []byte {
	dst = appendOptional(dst, 3, o.gt)
	dst = appendOptional(dst, 4, o.gte)
	dst = appendOptional(dst, 5, o.lt)
	dst = appendOptional(dst, 6, o.lte)
	dst = appendSint(dst, 7, o.limit)
	return appendBool(dst, 8, o.reverse)
}

func (o npmOptions) appendIterator(dst []byte, num protowire.Number) []byte {
	dst, mark := beginMessage(dst, num)
	dst = appendBool(dst, 1, o.keys)
	dst = appendBool(dst, 2, o.values)
	return endMessage(o.appendRange(dst), mark)
}

// beginMessage opens an embedded message in dst; endMessage, given the mark,
// closes it.
func beginMessage(dst []byte, num protowire.Number) (out []byte, mark int) {
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	// One byte holds the length of most; endMessage makes room for more.
	return append(dst, 0), len(dst)
}

func endMessage(dst []byte, mark int) []byte {
	size := len(dst) - mark - 1
	n := protowire.SizeVarint(uint64(size))
	for range n - 1 {
		dst = append(dst, 0)
	}
	copy(dst[mark+n:], dst[mark+1:mark+1+size])
	protowire.AppendVarint(dst[:mark], uint64(size))
	return dst
}

// Clear:
//
//	1 varint  id (r)
//	2 Options options
type clearMessage struct {
	id      uint64
	options npmOptions
}

func decodeClear(msg []byte) (m clearMessage, err error) {
	var hasID bool
	m.options = everything
	f := walk(msg)
	for f.next() {
		switch f.num {
		case 1:
			m.id, hasID = f.varint(), true
		case 2:
			if m.options, err = decodeOptions(f.bytes()); err != nil && f.err == nil {
				f.err = err
			}
		default:
			f.skip()
		}
	}
	return m, f.require(hasID)
}

func (m clearMessage) append(dst []byte) []byte {
	dst = appendUint(dst, 1, m.id)
	dst, mark := beginMessage(dst, 2)
	return endMessage(m.options.appendRange(dst), mark)
}

// GetMany:
//
//	1 varint id (r)
//	2 bytes  keys, repeated

// decodeGetMany calls each for every key, so that a frame full of empty keys
// costs no more than itself.
func decodeGetMany(msg []byte, each func(key []byte)) (id uint64, err error) {
	var hasID bool
	f := walk(msg)
	for f.next() {
		switch f.num {
		case 1:
			id, hasID = f.varint(), true
		case 2:
			if key := f.bytes(); key != nil && each != nil {
				each(key)
			}
		default:
			f.skip()
		}
	}
	return id, f.require(hasID)
}

func appendGetMany(dst []byte, id uint64, keys [][]byte) []byte {
	dst = appendUint(dst, 1, id)
	for _, key := range keys {
		dst = appendBytes(dst, 2, key)
	}
	return dst
}

// Callback, the answer to Get, Put, Delete, Batch and Clear:
//
//	1 varint id (r)
//	2 string error       many-level: a code; multileveldown: a message
//	3 bytes  value       absent, not empty, where there is none
type callbackMessage struct {
	id    uint64
	error []byte
	value []byte
}

func decodeCallback(msg []byte) (m callbackMessage, err error) {
	var hasID bool
	f := walk(msg)
	for f.next() {
		switch f.num {
		case 1:
			m.id, hasID = f.varint(), true
		case 2:
			m.error = f.bytes()
		case 3:
			m.value = f.bytes()
		default:
			f.skip()
		}
	}
	return m, f.require(hasID)
}

func appendCallback(dst []byte, id uint64, fault string, value []byte) []byte {
	dst = appendUint(dst, 1, id)
	dst = appendText(dst, 2, fault)
	return appendOptional(dst, 3, value)
}

// GetManyCallback:
//
//	1 varint id (r)
//	2 string error
//	3 Value  values, repeated, one for each key
//
// Value:
//
//	1 bytes value        absent where the key is missing
type getManyCallbackMessage struct {
	id     uint64
	error  []byte
	values [][]byte // nil for a missing key
}

func decodeGetManyCallback(msg []byte) (m getManyCallbackMessage, err error) {
	var hasID bool
	f := walk(msg)
	for f.next() {
		switch f.num {
		case 1:
			m.id, hasID = f.varint(), true
		case 2:
			m.error = f.bytes()
		case 3:
			value, err := decodeValue(f.bytes())
			if err != nil && f.err == nil {
				f.err = err
			}
			m.values = append(m.values, value)
		default:
			f.skip()
		}
	}
	return m, f.require(hasID)
}

func decodeValue(msg []byte) (value []byte, err error) {
	f := walk(msg)
	for f.next() {
		if f.num == 1 {
			value = f.bytes()
		} else {
			f.skip()
		}
	}
	return value, f.err
}

// appendValue appends one value of a GetManyCallback.
func appendValue(dst, value []byte) []byte {
	dst = protowire.AppendTag(dst, 3, protowire.BytesType)
	if value == nil {
		return append(dst, 0)
	}
	dst = protowire.AppendVarint(dst, uint64(sizeBytes(len(value))))
	return appendOptional(dst, 1, value)
}
