package wire

import (
	"slices"
	"sync"

	"github.com/levelparty/party/internal/store"
)

// Op is what a guest asks for.
type Op uint8

const (
	OpGet Op = iota
	OpHas
	OpGetMany
	OpPut
	OpDelete
	OpBatch
	OpClear
	OpSnapshot        // pin the present state; the answer's Handle names it
	OpReleaseSnapshot // unpin Handle
	OpRead            // one chunk of a cursor
	OpCloseCursor
	OpBegin    // take the database for writing, alone, until OpEnd or the link ends
	OpEnd      // give it back
	OpCompact  // CompactRange of Bounds
	OpSize     // ApproximateSize of Bounds
	OpProperty // Property Name
	OpStatus   // the leader's status as JSON
	OpLeave    // the guest closes, and will not send anything again
	opCount
)

// Request is what a guest sends. Which fields count depends on Op.
type Request struct {
	Op      Op
	Floor   uint64 // lowest ID the guest may still send again
	Key     []byte
	Value   []byte
	Keys    [][]byte
	Records []byte // LevelDB batch records
	Bounds  store.Bounds
	Limit   int64 // negative: none
	Reverse bool
	Sync    bool
	Handle  uint64 // a snapshot, 0 for none
	Name    string
	read    readRequest // OpRead and OpCloseCursor
}

// Response is what a host answers.
type Response struct {
	Value  []byte
	Values [][]byte // for OpGetMany, nil where a key is missing
	Count  int64
	More   bool
	Handle uint64
	chunk  *Chunk // for OpRead
}

// Call is one request under way and, once done, its outcome.
type Call struct {
	ID uint64 // counts a handle's calls from 1
	Request
	// Bound, if not nil, is the only link the call has a meaning on: it is not
	// sent again on another.
	Bound *Link

	Response
	Err   error
	done  chan struct{}
	alone bool // no other call waited when this one began to
}

// NewCall returns a call of req that Calls.Add will number.
func NewCall(req Request) *Call {
	return &Call{Request: req, done: make(chan struct{}, 1)}
}

// Done is readable once, when the call has its outcome.
func (c *Call) Done() <-chan struct{} { return c.done }

// Finish gives the call its outcome. Only who has taken the call out of its
// Calls may do so.
func (c *Call) Finish(err error) {
	c.Err = err
	c.done <- struct{}{}
}

// Calls holds a handle's calls that wait for an answer, over all the links the
// handle has in its life. Safe for concurrent use.
type Calls struct {
	mu    sync.Mutex
	last  uint64
	floor uint64 // no waiting call has a lower ID
	m     map[uint64]*Call
}

// floorEvery is how far the floor may lag behind before it is looked for anew:
// often enough that a host forgets what it need not know, seldom enough that
// it costs nothing.
const floorEvery = 1024

// NewCalls returns an empty table.
func NewCalls() *Calls { return &Calls{m: make(map[uint64]*Call)} }

// Add numbers c, tells it the floor, and keeps it until it is taken.
func (t *Calls) Add(c *Call) {
	t.mu.Lock()
	t.last++
	c.ID = t.last
	c.alone = len(t.m) == 0
	t.m[c.ID] = c
	if t.last-t.floor > floorEvery {
		t.floor = t.last
		for id := range t.m {
			t.floor = min(t.floor, id)
		}
	}
	c.Floor = t.floor
	t.mu.Unlock()
}

// Take removes and returns the call with this ID, or nil. Who gets the call
// decides its outcome; there is no second taker.
func (t *Calls) Take(id uint64) *Call {
	t.mu.Lock()
	c := t.m[id]
	if c != nil {
		delete(t.m, id)
	}
	t.mu.Unlock()
	return c
}

// Waiting returns the calls in the order they were made.
func (t *Calls) Waiting() []*Call {
	t.mu.Lock()
	all := make([]*Call, 0, len(t.m))
	for _, c := range t.m {
		all = append(all, c)
	}
	t.mu.Unlock()
	slices.SortFunc(all, func(a, b *Call) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return all
}

// Len returns how many calls wait.
func (t *Calls) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.m)
}

// Unbound reports whether a call waits that any link may carry.
func (t *Calls) Unbound() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.m {
		if c.Bound == nil {
			return true
		}
	}
	return false
}

// Cost is how many bytes of the caller's memory the request holds.
func (r *Request) Cost() int {
	n := len(r.Key) + len(r.Value) + len(r.Records)
	for _, k := range r.Keys {
		n += len(k)
	}
	return n
}
