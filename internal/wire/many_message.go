package wire

// The messages of many-level that multileveldown does not have, or has
// otherwise. Part of the protocol, never change. See npm_message.go for the
// others and for what (r) means.
//
// An iterator's position is named by seq: the guest counts it up with every
// seek, the host repeats it, and data of an older seq is dropped.

// Tags of what a guest sends.
const (
	manyIteratorClose = 7
	manyIteratorAck   = 8
	manyIteratorSeek  = 9
)

// Tags of what a host sends.
const (
	manyIteratorError = 3
	manyIteratorEnd   = 4
)

// Iterator:
//
//	1 varint  id (r)
//	2 varint  seq (r)
//	3 Options options (r)
//	4 varint  consumed (r)   entries read before, on an earlier connection
//	5 bytes   bookmark       last key read; go on behind it
//	6 bytes   seek           go on here instead
type manyIteratorMessage struct {
	id, seq  uint64
	options  npmOptions
	consumed uint64
	bookmark []byte
	seek     []byte
}

func decodeManyIterator(msg []byte) (m manyIteratorMessage, err error) {
	var hasID, hasSeq, hasOptions, hasConsumed bool
	f := walk(msg)
	for f.next() {
		switch f.num {
		case 1:
			m.id, hasID = f.varint(), true
		case 2:
			m.seq, hasSeq = f.varint(), true
		case 3:
			hasOptions = true
			if m.options, err = decodeOptions(f.bytes()); err != nil && f.err == nil {
				f.err = err
			}
		case 4:
			m.consumed, hasConsumed = f.varint(), true
		case 5:
			m.bookmark = f.bytes()
		case 6:
			m.seek = f.bytes()
		default:
			f.skip()
		}
	}
	return m, f.require(hasID && hasSeq && hasOptions && hasConsumed)
}

func (m manyIteratorMessage) append(dst []byte) []byte {
	dst = appendUint(dst, 1, m.id)
	dst = appendUint(dst, 2, m.seq)
	dst = m.options.appendIterator(dst, 3)
	dst = appendUint(dst, 4, m.consumed)
	dst = appendOptional(dst, 5, m.bookmark)
	return appendOptional(dst, 6, m.seek)
}

// IteratorClose, IteratorAck, IteratorSeek, IteratorEnd and IteratorError
// begin alike and differ in field 3:
//
//	1 varint id (r)
//	2 varint seq (r)         not in IteratorClose
//	3 varint consumed (r)    IteratorAck: entries read so far
//	3 bytes  target (r)      IteratorSeek
//	3 string error (r)       IteratorError: a code
type manyIteratorStep struct {
	id, seq  uint64
	consumed uint64
	bytes    []byte // target or error
}

func decodeManyStep(msg []byte, tag byte, fromHost bool) (m manyIteratorStep, err error) {
	var hasID, hasSeq, hasLast bool
	wantSeq := fromHost || tag != manyIteratorClose
	wantLast := fromHost && tag == manyIteratorError || !fromHost && tag != manyIteratorClose
	f := walk(msg)
	for f.next() {
		switch {
		case f.num == 1:
			m.id, hasID = f.varint(), true
		case f.num == 2 && wantSeq:
			m.seq, hasSeq = f.varint(), true
		case f.num == 3 && wantLast && !fromHost && tag == manyIteratorAck:
			m.consumed, hasLast = f.varint(), true
		case f.num == 3 && wantLast:
			m.bytes, hasLast = f.bytes(), true
		default:
			f.skip()
		}
	}
	return m, f.require(hasID && (hasSeq || !wantSeq) && (hasLast || !wantLast))
}

func appendManyClose(dst []byte, id uint64) []byte { return appendUint(dst, 1, id) }

func appendManyAck(dst []byte, id, seq, consumed uint64) []byte {
	dst = appendManyEnd(dst, id, seq)
	return appendUint(dst, 3, consumed)
}

func appendManySeek(dst []byte, id, seq uint64, target []byte) []byte {
	dst = appendManyEnd(dst, id, seq)
	return appendBytes(dst, 3, target)
}

func appendManyEnd(dst []byte, id, seq uint64) []byte {
	dst = appendUint(dst, 1, id)
	return appendUint(dst, 2, seq)
}

func appendManyError(dst []byte, id, seq uint64, code string) []byte {
	dst = appendManyEnd(dst, id, seq)
	return appendText(dst, 3, code)
}

// IteratorData:
//
//	1 varint id (r)
//	2 varint seq (r)
//	3 bytes  data, repeated  keys and values in turn, or only the one or the other
type manyData struct {
	id, seq uint64
	data    [][]byte
}

func decodeManyData(msg []byte) (m manyData, err error) {
	var hasID, hasSeq bool
	f := walk(msg)
	for f.next() {
		switch f.num {
		case 1:
			m.id, hasID = f.varint(), true
		case 2:
			m.seq, hasSeq = f.varint(), true
		case 3:
			m.data = append(m.data, f.bytes())
		default:
			f.skip()
		}
	}
	return m, f.require(hasID && hasSeq)
}

// appendManyData begins an IteratorData; appendItem appends each item.
func appendManyData(dst []byte, id, seq uint64) []byte { return appendManyEnd(dst, id, seq) }

func appendItem(dst, item []byte) []byte { return appendBytes(dst, 3, item) }
