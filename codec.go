package party

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Codec turns values of type T into the bytes that are stored and back, for
// keys and for values of a Typed view. Implement it for encodings of your own.
// A codec must be safe for concurrent use.
//
// The codecs of this package store what the encoding of the same name of
// Node's level packages stores (abstract-level 1 and later).
type Codec[T any] interface {
	// Append appends the bytes of v to dst and returns the longer slice. An
	// error means that v has no such bytes: the codecs of this package, and
	// every use of a codec through Typed, return it as ErrInvalid.
	Append(dst []byte, v T) ([]byte, error)
	// Decode returns the value that data stands for. It must not keep or
	// change data. An error means that data is none of the codec's: it is
	// returned as ErrCorrupted.
	Decode(data []byte) (T, error)
}

var (
	// UTF8 stores text as it is: Node's "utf8". It sorts by code point. It
	// does not check: a string of other bytes comes back unchanged in Go, and
	// with U+FFFD for what is no UTF-8 in Node.
	UTF8 Codec[string] = utf8Codec{}

	// Binary stores bytes as they are: Node's "buffer", "binary" and "view".
	Binary Codec[[]byte] = binaryCodec{}

	// Hex is text in Go and the bytes it spells in the database: Node's "hex".
	// Digits of both cases are taken, lower case is returned. Node stores what
	// precedes the first fault of a text; here a fault, which an odd number
	// of digits is too, is an error.
	Hex Codec[string] = hexCodec{}

	// Base64 is text in Go and the bytes it spells in the database: Node's
	// "base64". As there, both alphabets, the usual and the one for URLs, are
	// taken, and white space and padding do not matter; the usual alphabet
	// with padding is returned. Node skips other characters and whatever
	// follows the padding; here they are errors.
	Base64 Codec[string] = base64Codec{}

	// Uint64 stores 8 bytes, big-endian, so that keys sort by number: what
	// Node's Buffer calls BigUInt64BE.
	Uint64 Codec[uint64] = uint64Codec{}

	// Uint32 stores 4 bytes, big-endian, so that keys sort by number: what
	// Node's Buffer calls UInt32BE.
	Uint32 Codec[uint32] = uint32Codec{}

	// Int64 stores 8 bytes, big-endian with the sign bit flipped, so that keys
	// sort by number, negative ones first. In Node that is BigUInt64BE of the
	// number plus 2**63.
	Int64 Codec[int64] = int64Codec{}
)

// JSON returns a codec of encoding/json: Node's "json". The bytes are those of
// JSON.stringify, with nothing escaped that need not be. Differences are in
// what Go and JavaScript take values to be:
//
//   - Go sorts the keys of a map and keeps the order of a struct's fields;
//     JavaScript keeps the order of insertion.
//   - Integers beyond 2**53 are stored exactly, but read inexactly by Node.
//   - NaN and infinities are errors; Node stores null. Negative zero is stored
//     as -0; Node stores 0.
//   - A []byte is stored as a text of base64; Node stores a Buffer as an object.
//   - A nil pointer, slice or map is null, which Node reads but refuses to store
//     as a whole value.
//   - Bytes that are no UTF-8 become U+FFFD.
//
// As keys, JSON sorts as text does: 10 before 9.
func JSON[T any]() Codec[T] { return jsonCodec[T]{} }

type utf8Codec struct{}

func (utf8Codec) Append(dst []byte, v string) ([]byte, error) { return append(dst, v...), nil }
func (utf8Codec) Decode(data []byte) (string, error)          { return string(data), nil }

type binaryCodec struct{}

func (binaryCodec) Append(dst []byte, v []byte) ([]byte, error) { return append(dst, v...), nil }
func (binaryCodec) Decode(data []byte) ([]byte, error)          { return clone(data), nil }

type hexCodec struct{}

func (hexCodec) Append(dst []byte, v string) ([]byte, error) {
	dst, err := hex.AppendDecode(dst, []byte(v))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return dst, nil
}

func (hexCodec) Decode(data []byte) (string, error) { return hex.EncodeToString(data), nil }

type base64Codec struct{}

func (base64Codec) Append(dst []byte, v string) ([]byte, error) {
	// The forms that Node takes are brought into one that the strict decoder
	// does.
	digits := make([]byte, 0, len(v))
	padded := false
	for i := range len(v) {
		switch c := v[i]; {
		case c == ' ' || '\t' <= c && c <= '\r':
		case c == '=':
			padded = true
		case padded:
			return nil, fmt.Errorf("%w: base64: %q after the padding", ErrInvalid, c)
		case c == '-':
			digits = append(digits, '+')
		case c == '_':
			digits = append(digits, '/')
		default:
			digits = append(digits, c)
		}
	}
	dst, err := base64.RawStdEncoding.AppendDecode(dst, digits)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return dst, nil
}

func (base64Codec) Decode(data []byte) (string, error) {
	return base64.StdEncoding.EncodeToString(data), nil
}

type uint64Codec struct{}

func (uint64Codec) Append(dst []byte, v uint64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, v), nil
}

func (uint64Codec) Decode(data []byte) (uint64, error) {
	if len(data) != 8 {
		return 0, wrongLength(data, 8)
	}
	return binary.BigEndian.Uint64(data), nil
}

type uint32Codec struct{}

func (uint32Codec) Append(dst []byte, v uint32) ([]byte, error) {
	return binary.BigEndian.AppendUint32(dst, v), nil
}

func (uint32Codec) Decode(data []byte) (uint32, error) {
	if len(data) != 4 {
		return 0, wrongLength(data, 4)
	}
	return binary.BigEndian.Uint32(data), nil
}

type int64Codec struct{}

const signBit = 1 << 63

func (int64Codec) Append(dst []byte, v int64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, uint64(v)^signBit), nil
}

func (int64Codec) Decode(data []byte) (int64, error) {
	if len(data) != 8 {
		return 0, wrongLength(data, 8)
	}
	return int64(binary.BigEndian.Uint64(data) ^ signBit), nil
}

func wrongLength(data []byte, want int) error {
	return fmt.Errorf("%w: integer of %d bytes, want %d", ErrCorrupted, len(data), want)
}

type jsonCodec[T any] struct{}

func (jsonCodec[T]) Append(dst []byte, v T) ([]byte, error) {
	start := len(dst)
	buf := bytes.NewBuffer(dst)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	b := buf.Bytes()
	b = b[:len(b)-1] // Encode ends with a newline
	return append(b[:start], unescape(b[start:])...), nil
}

func (jsonCodec[T]) Decode(data []byte) (T, error) {
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		var zero T // v may be half filled
		return zero, fmt.Errorf("%w: %w", ErrCorrupted, err)
	}
	return v, nil
}

// unescape replaces, in place, the escapes that encoding/json writes and
// JSON.stringify does not.
func unescape(b []byte) []byte {
	if !bytes.Contains(b, []byte(`\u202`)) && !bytes.Contains(b, []byte(`\ufffd`)) {
		return b
	}
	out := b[:0] // never catches up with the reading: an escape is longer than its character
	for i := 0; i < len(b); {
		switch rest := b[i:]; {
		case rest[0] != '\\':
			out = append(out, b[i])
			i++
		case bytes.HasPrefix(rest, []byte(`\u2028`)):
			out = append(out, "\u2028"...)
			i += 6
		case bytes.HasPrefix(rest, []byte(`\u2029`)):
			out = append(out, "\u2029"...)
			i += 6
		case bytes.HasPrefix(rest, []byte(`\ufffd`)):
			out = append(out, "\ufffd"...)
			i += 6
		default: // another escape, whose second byte may be a backslash
			out = append(out, b[i], b[i+1])
			i += 2
		}
	}
	return out
}
