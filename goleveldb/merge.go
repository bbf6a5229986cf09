package goleveldb

import "bytes"

// merged is a cursor over the entries of base under the writes of over: what a
// transaction reads.
//
// While it stands on an entry each source stands too: after a forward move on
// its first entry at or behind that key, after a backward move on its last one
// at or before it.
type merged struct {
	base           cursor
	over           *overlayCursor
	inBase, inOver bool // the source stands on an entry
	own            bool // the entry is over's
	backward       bool // the last move
	stands         standing
	err            error
}

// standing is where a cursor is with respect to the entries.
type standing uint8

const (
	before standing = iota
	on
	behind
)

func (m *merged) First() bool {
	if m.err != nil {
		return false
	}
	m.backward = false
	m.inBase, m.inOver = m.base.First(), m.over.First()
	return m.settle()
}

func (m *merged) Last() bool {
	if m.err != nil {
		return false
	}
	m.backward = true
	m.inBase, m.inOver = m.base.Last(), m.over.Last()
	return m.settle()
}

func (m *merged) Seek(key []byte) bool {
	if m.err != nil {
		return false
	}
	m.backward = false
	m.inBase, m.inOver = m.base.Seek(key), m.over.Seek(key)
	return m.settle()
}

func (m *merged) Next() bool {
	switch {
	case m.err != nil || m.stands == behind:
		return false
	case m.stands == before:
		return m.First()
	case !m.backward:
		m.step()
		return m.settle()
	}
	key := bytes.Clone(m.Key())
	m.backward = false
	if m.inBase = m.base.Seek(key); m.inBase && bytes.Equal(m.base.Key(), key) {
		m.inBase = m.base.Next()
	}
	if m.inOver = m.over.Seek(key); m.inOver && bytes.Equal(m.over.at.key, key) {
		m.inOver = m.over.Next()
	}
	return m.settle()
}

func (m *merged) Prev() bool {
	switch {
	case m.err != nil || m.stands == before:
		return false
	case m.stands == behind:
		return m.Last()
	case m.backward:
		m.step()
		return m.settle()
	}
	key := bytes.Clone(m.Key())
	m.backward = true
	if m.base.Seek(key) {
		m.inBase = m.base.Prev()
	} else if m.base.Err() == nil {
		m.inBase = m.base.Last()
	}
	m.inOver = m.over.before(key)
	return m.settle()
}

// step moves the sources that stand on the entry away from it.
func (m *merged) step() {
	inBase := m.inBase && (!m.own || m.inOver && bytes.Equal(m.base.Key(), m.over.at.key))
	if m.own {
		if m.backward {
			m.inOver = m.over.Prev()
		} else {
			m.inOver = m.over.Next()
		}
	}
	if inBase {
		if m.backward {
			m.inBase = m.base.Prev()
		} else {
			m.inBase = m.base.Next()
		}
	}
}

// settle goes on to an entry that is not deleted, in the direction of the move,
// from where the sources stand.
func (m *merged) settle() bool {
	for {
		if m.err = m.base.Err(); m.err != nil {
			m.stands = behind
			return false
		}
		switch {
		case m.inBase && m.inOver:
			c := bytes.Compare(m.over.at.key, m.base.Key())
			m.own = c == 0 || (c < 0) != m.backward
		case m.inBase || m.inOver:
			m.own = m.inOver
		default:
			m.stands = behind
			if m.backward {
				m.stands = before
			}
			return false
		}
		if !m.own || !m.over.at.deleted {
			m.stands = on
			return true
		}
		m.step()
	}
}

func (m *merged) Key() []byte {
	if m.own {
		return m.over.at.key
	}
	return m.base.Key()
}

func (m *merged) Value() []byte {
	if m.own {
		return m.over.at.value
	}
	return m.base.Value()
}

func (m *merged) Err() error { return m.err }

func (m *merged) Close() error {
	m.over.Close()
	return m.base.Close()
}
