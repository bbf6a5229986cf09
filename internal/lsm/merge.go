package lsm

import "github.com/levelparty/party/internal/format"

// merger walks the entries of several iterators in one order. It is a heap with
// the next entry on top. It goes on in the direction of its last First, Last or
// seek: Next after SeekGE or First, Prev after SeekLT or Last.
type merger struct {
	all     []iterator
	heap    []head // those that stand on an entry
	reverse bool
}

// head is an iterator and the key it stands on.
type head struct {
	key []byte
	it  iterator
}

// newMerger takes over the iterators it is given.
func newMerger(all []iterator) iterator {
	if len(all) == 1 {
		return all[0]
	}
	return &merger{all: all, heap: make([]head, 0, len(all))}
}

// seekLT goes to the last key before ikey.
func seekLT(it iterator, ikey []byte) bool {
	if m, ok := it.(*merger); ok {
		return m.build(true, func(it iterator) bool { return seekLT(it, ikey) })
	}
	if it.SeekGE(ikey) {
		return it.Prev()
	}
	return it.Err() == nil && it.Last()
}

func (m *merger) First() bool { return m.build(false, iterator.First) }
func (m *merger) Last() bool  { return m.build(true, iterator.Last) }
func (m *merger) SeekGE(ikey []byte) bool {
	return m.build(false, func(it iterator) bool { return it.SeekGE(ikey) })
}

// build places all iterators and makes the heap anew.
func (m *merger) build(reverse bool, place func(iterator) bool) bool {
	m.reverse = reverse
	m.heap = m.heap[:0]
	for _, it := range m.all {
		if place(it) {
			m.heap = append(m.heap, head{it.Key(), it})
		}
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	return m.valid()
}

func (m *merger) valid() bool { return len(m.heap) > 0 && m.Err() == nil }

func (m *merger) before(a, b *head) bool {
	if m.reverse {
		a, b = b, a
	}
	return format.CompareInternal(a.key, b.key) < 0
}

func (m *merger) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(m.heap) {
			return
		}
		if c+1 < len(m.heap) && m.before(&m.heap[c+1], &m.heap[c]) {
			c++
		}
		if !m.before(&m.heap[c], &m.heap[i]) {
			return
		}
		m.heap[i], m.heap[c] = m.heap[c], m.heap[i]
		i = c
	}
}

func (m *merger) Next() bool { return m.moved(m.heap[0].it.Next()) }
func (m *merger) Prev() bool { return m.moved(m.heap[0].it.Prev()) }

// moved puts the iterator on top in its new place. ok says that it stands on an
// entry.
func (m *merger) moved(ok bool) bool {
	if ok {
		m.heap[0].key = m.heap[0].it.Key()
	} else {
		if m.heap[0].it.Err() != nil {
			return false
		}
		last := len(m.heap) - 1
		m.heap[0] = m.heap[last]
		m.heap = m.heap[:last]
	}
	m.down(0)
	return len(m.heap) > 0
}

func (m *merger) Key() []byte   { return m.heap[0].key }
func (m *merger) Value() []byte { return m.heap[0].it.Value() }

func (m *merger) Err() error {
	for _, it := range m.all {
		if err := it.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (m *merger) Close() { closeAll(m.all) }
