package wire

// The messages of multileveldown that many-level does not have, or has
// otherwise. Part of the protocol, never change. See npm_message.go for the
// others and for what (r) means.

// Iterator opens an iterator, grants it credit, or closes it:
//
//	1 varint  id (r)
//	2 varint  batch          how many more entries the host may send; 0 or absent closes
//	3 Options options        absent when a known iterator is granted credit
type multiIteratorMessage struct {
	id, batch  uint64
	options    npmOptions
	hasOptions bool
}

func decodeMultiIterator(msg []byte) (m multiIteratorMessage, err error) {
	var hasID bool
	m.options = everything
	f := walk(msg)
	for f.next() {
		switch f.num {
		case 1:
			m.id, hasID = f.varint(), true
		case 2:
			m.batch = f.varint()
		case 3:
			m.hasOptions = true
			if m.options, err = decodeOptions(f.bytes()); err != nil && f.err == nil {
				f.err = err
			}
		default:
			f.skip()
		}
	}
	return m, f.require(hasID)
}

func (m multiIteratorMessage) append(dst []byte) []byte {
	dst = appendUint(dst, 1, m.id)
	dst = appendUint(dst, 2, m.batch)
	if m.hasOptions {
		dst = m.options.appendIterator(dst, 3)
	}
	return dst
}

// IteratorData is one entry, or an error, or, with neither key nor value, the
// end:
//
//	1 varint id (r)
//	2 string error           a message
//	3 bytes  key
//	4 bytes  value
type multiData struct {
	id         uint64
	error      []byte
	key, value []byte
}

func decodeMultiData(msg []byte) (m multiData, err error) {
	var hasID bool
	f := walk(msg)
	for f.next() {
		switch f.num {
		case 1:
			m.id, hasID = f.varint(), true
		case 2:
			m.error = f.bytes()
		case 3:
			m.key = f.bytes()
		case 4:
			m.value = f.bytes()
		default:
			f.skip()
		}
	}
	return m, f.require(hasID)
}

func appendMultiData(dst []byte, id uint64, fault string, key, value []byte) []byte {
	dst = appendUint(dst, 1, id)
	dst = appendText(dst, 2, fault)
	dst = appendOptional(dst, 3, key)
	return appendOptional(dst, 4, value)
}
