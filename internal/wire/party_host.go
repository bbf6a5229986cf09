package wire

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/store"
)

const (
	// maxHandles bounds the cursors, and the snapshots, that one guest has open.
	maxHandles = 4096
	// maxBackground bounds the requests of one guest that are carried out
	// beside its reader.
	maxBackground = 64
	// maxWaiting bounds what requests of one guest hold that are carried out
	// beside its reader, or wait for who writes alone: twice what a Go guest's
	// own calls can hold. Each counts waitingCost at least.
	maxWaiting  = 128 << 20
	waitingCost = 1 << 10
	// maxKeys bounds the keys of one request.
	maxKeys = 1 << 20
	// maxGather bounds the bytes of writes gathered into one commit.
	maxGather = 1 << 20
)

// partyHost speaks the protocol between Go processes, as the host.
//
// Reads, and writes that need not wait for the disk, are carried out by the
// connection's reader, which gathers the writes that arrived together into one
// commit. What may take long runs beside it, so that it holds up nothing else:
// synced writes, and those that come while somebody writes alone.
type partyHost struct {
	*hostConn
	client     store.ClientID
	greeted    bool
	req        Request // reused
	background chan struct{}
	running    sync.WaitGroup
	waiting    *semaphore.Weighted // bounds what is kept of requests beside the reader

	// Writes gathered since the last settle. Records made from puts and deletes
	// are in arena, between the marks; a zero mark pair stands for a batch.
	writes []*store.Write
	ids    []uint64
	marks  [][2]int
	arena  []byte
	bytes  int
	unless unlessHeld // reused

	cursors map[uint64]*hostCursor
	ranges  ranges // of cursors

	mu        sync.Mutex // the fields below are also used beside the reader
	snapshots map[uint64]store.Snapshot
	handles   uint64
	tx        *hostTx
	parked    []heldWrite // wait until nobody writes alone, in order
	parking   bool        // a goroutine sees to them
}

type hostCursor struct {
	it      store.Iterator
	reverse bool
	placed  bool // on the last entry that was sent
}

func newPartyHost(c *hostConn) *partyHost {
	return &partyHost{
		hostConn:   c,
		background: make(chan struct{}, maxBackground),
		waiting:    semaphore.NewWeighted(maxWaiting),
		cursors:    make(map[uint64]*hostCursor),
		snapshots:  make(map[uint64]store.Snapshot),
	}
}

func (h *partyHost) handle(frame []byte) error {
	tag := frame[0]
	if tag == tagHello {
		return h.hello(frame[1:])
	}
	if !h.greeted {
		return fmt.Errorf("tag %d before hello: %w", tag, store.ErrInvalid)
	}
	if tag >= byte(opCount) {
		return fmt.Errorf("unknown tag %d: %w", tag, store.ErrInvalid)
	}
	r := &h.req
	if cap(r.Keys) > maxGathered {
		r.Keys = nil // so much is not kept for the next request
	}
	id, err := decodeRequest(tag, frame[1:], r)
	if err != nil {
		return err
	}
	if n := len(r.Keys); n > maxKeys {
		return h.reply(id, Response{}, fmt.Errorf("more than %d keys: %w", maxKeys, store.ErrTooLarge))
	}
	switch r.Op {
	case OpGet:
		return h.get(id, r)
	case OpHas:
		snap, err := h.snapshot(r.Handle)
		var ok bool
		if err == nil {
			ok, err = h.host.Store.Has(r.Key, snap)
		}
		return h.reply(id, Response{More: ok}, err)
	case OpGetMany:
		return h.getMany(id, r)
	case OpPut, OpDelete, OpBatch:
		return h.write(id, r)
	case OpClear:
		c := store.Clear{Bounds: cloneBounds(r.Bounds), Reverse: r.Reverse, Limit: r.Limit, Sync: r.Sync,
			Identity: store.Identity{Client: h.client, ID: id, Floor: r.Floor}}
		cost, err := h.keep(len(r.Bounds.Lower) + len(r.Bounds.Upper))
		if err != nil {
			return err
		}
		return h.beside(id, func() (Response, error) {
			defer h.waiting.Release(cost)
			n, more, err := h.host.Store.Clear(h.ctx, c)
			return Response{Count: n, More: more}, err
		})
	case OpSnapshot:
		return h.openSnapshot(id)
	case OpReleaseSnapshot:
		h.mu.Lock()
		snap := h.snapshots[r.Handle]
		delete(h.snapshots, r.Handle)
		h.mu.Unlock()
		if snap != nil {
			snap.Release()
		}
		return h.reply(id, Response{}, nil)
	case OpRead:
		return h.read(id, r)
	case OpCloseCursor:
		if c := h.cursors[r.read.cursor]; c != nil {
			c.it.Close()
			delete(h.cursors, r.read.cursor)
			h.ranges.remove(r.read.cursor)
		}
		return h.reply(id, Response{}, nil)
	case OpBegin:
		return h.begin(id)
	case OpEnd:
		h.end(r.Handle)
		return h.reply(id, Response{}, nil)
	}
	return h.administer(id, r)
}

func (h *partyHost) hello(msg []byte) error {
	var guest Hello
	if err := decodeHello(msg, &guest); err != nil {
		return err
	}
	if h.greeted {
		return fmt.Errorf("second hello: %w", store.ErrInvalid)
	}
	me := Hello{}
	if h.host.Admin != nil {
		me = h.host.Admin.Welcome(h.conn, guest)
	}
	me.Version = partyVersion
	if err := h.answer(func(dst []byte) []byte { return appendHello(dst, &me) }); err != nil {
		return err
	}
	if guest.Version != partyVersion {
		return errors.Join(h.flush(), fmt.Errorf("guest speaks version %d of the protocol, this process version %d: %w",
			guest.Version, partyVersion, store.ErrNotSupported))
	}
	h.greeted, h.client = true, guest.Client
	return nil
}

// reply answers a request.
func (h *partyHost) reply(id uint64, r Response, err error) error {
	if h.unanswerable(err) {
		return err
	}
	if id == noAnswer {
		return nil
	}
	if err == nil && r.size() > h.host.maxFrame() {
		err = fmt.Errorf("answer of %d bytes, limit %d: %w", r.size(), h.host.maxFrame(), store.ErrTooLarge)
	}
	return h.answer(func(dst []byte) []byte { return appendAnswer(dst, id, &r, err) })
}

// size is an upper bound of the answer's frame.
func (r *Response) size() int {
	n := 64 + len(r.Value)
	for _, v := range r.Values {
		n += len(v) + 8
	}
	return n
}

func (h *Host) maxFrame() int {
	if h.MaxFrame <= 0 {
		return DefaultMaxFrame
	}
	return h.MaxFrame
}

// beside carries out a request beside the reader and answers it.
func (h *partyHost) beside(id uint64, do func() (Response, error)) error {
	ctx, cancel := h.patience()
	defer cancel()
	select {
	case h.background <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%d requests wait: %w", maxBackground, ctx.Err())
	}
	h.running.Add(1)
	go func() {
		defer h.running.Done()
		r, err := do()
		<-h.background
		if err := errors.Join(h.reply(id, r, err), h.flush()); err != nil {
			h.conn.Close()
		}
	}()
	return nil
}

// keep waits until a request of n bytes may be kept beside the reader, and returns
// what to give back to h.waiting afterwards.
func (h *partyHost) keep(n int) (cost int64, err error) {
	ctx, cancel := h.patience()
	defer cancel()
	cost = min(int64(n)+waitingCost, maxWaiting)
	if err := h.waiting.Acquire(ctx, cost); err != nil {
		return 0, fmt.Errorf("requests of more than %d bytes wait: %w", maxWaiting, err)
	}
	return cost, nil
}

// patience is for how long the reader may wait for requests beside it. If they
// wait for the guest's own end of writing alone, that is not read meanwhile, nor
// is it noticed that the guest has died: the connection has to end, or nobody
// would write again. A Go guest's own limits keep it from that.
func (h *partyHost) patience() (context.Context, context.CancelFunc) {
	if h.current() == nil {
		return h.ctx, func() {}
	}
	return context.WithTimeout(h.ctx, spacePatience)
}

func (h *partyHost) get(id uint64, r *Request) error {
	snap, err := h.snapshot(r.Handle)
	var v []byte
	if err == nil {
		var hold *hold
		v, hold, err = h.value(r.Key, snap)
		defer hold.release()
	}
	if err == nil && v == nil {
		v = []byte{}
	}
	return h.reply(id, Response{Value: v}, err)
}

func (h *partyHost) getMany(id uint64, r *Request) error {
	snap, err := h.snapshot(r.Handle)
	if err == nil && snap == nil {
		if snap, err = h.host.Store.Snapshot(); err == nil {
			defer snap.Release()
		}
	}
	if err != nil {
		return h.reply(id, Response{}, err)
	}
	var values [][]byte
	hold, err := h.roomy(func(limit int) (err error) {
		values, err = h.collect(r.Keys, snap, limit)
		return err
	})
	defer hold.release()
	if errors.Is(err, errRoom) {
		err = fmt.Errorf("values of more than %d bytes: %w", h.host.maxFrame(), store.ErrTooLarge)
	}
	return h.reply(id, Response{Values: values}, err)
}

// collect gets the values of keys, nil where there is none. errRoom: they are
// larger than limit together.
func (h *partyHost) collect(keys [][]byte, snap store.Snapshot, limit int) (values [][]byte, err error) {
	size := 0
	for _, key := range keys {
		v, err := h.host.Store.Get(key, snap)
		switch {
		case errors.Is(err, store.ErrNotFound):
			v = nil
		case err != nil:
			return nil, err
		case v == nil:
			v = []byte{}
		}
		if size += len(v); size > limit {
			return nil, errRoom
		}
		values = append(values, v)
	}
	return values, nil
}

// write gathers a write for settle.
func (h *partyHost) write(id uint64, r *Request) error {
	count, mark := 1, [2]int{len(h.arena), 0}
	records := r.Records
	switch r.Op {
	case OpPut:
		h.arena = format.AppendPut(h.arena, r.Key, r.Value)
	case OpDelete:
		h.arena = format.AppendDelete(h.arena, r.Key)
	case OpBatch:
		var err error
		if count, err = format.CountRecords(records); err != nil {
			return h.reply(id, Response{}, fmt.Errorf("%w: %v", store.ErrInvalid, err))
		}
	}
	mark[1] = len(h.arena)
	w := &store.Write{Records: records, Count: count, Sync: r.Sync,
		Identity: store.Identity{Client: h.client, ID: id, Floor: r.Floor}}
	if tx := h.current(); tx != nil || r.Handle != 0 {
		return h.writeInTx(tx, id, r, w, mark)
	}
	h.writes, h.ids, h.marks = append(h.writes, w), append(h.ids, id), append(h.marks, mark)
	if h.bytes += len(records) + mark[1] - mark[0]; h.bytes > maxGather || len(h.writes) >= maxGathered {
		return h.settle()
	}
	return nil
}

// settle commits what was gathered.
func (h *partyHost) settle() error {
	if len(h.writes) == 0 {
		return nil
	}
	sync := false
	for i, w := range h.writes {
		if m := h.marks[i]; m[1] > m[0] {
			w.Records = h.arena[m[0]:m[1]]
		}
		sync = sync || w.Sync
	}
	var err error
	switch {
	case h.mustPark():
		err = h.park()
	case sync:
		// The disk is waited for beside the reader; the frames do not wait.
		var held []heldWrite
		if held, err = h.takeOut(); err != nil {
			break
		}
		err = h.beside(noAnswer, func() (Response, error) { return Response{}, h.commit(held) })
	case h.host.Admin == nil:
		h.host.Store.Commit(h.ctx, h.writes)
		err = h.replyWrites()
	default:
		h.unless = unlessHeld{h.ctx, h.host.Admin.Held()}
		if h.host.Store.Commit(&h.unless, h.writes); errors.Is(h.writes[0].Err, errHeld) {
			err = h.park()
		} else {
			err = h.replyWrites()
		}
	}
	clear(h.writes)
	h.writes, h.ids, h.marks, h.bytes = h.writes[:0], h.ids[:0], h.marks[:0], 0
	if h.arena = h.arena[:0]; cap(h.arena) > 4*maxGather {
		h.arena = nil
	}
	return err
}

func (h *partyHost) replyWrites() error {
	for i, w := range h.writes {
		if err := h.reply(h.ids[i], Response{}, w.Err); err != nil {
			return err
		}
	}
	return nil
}

func (h *partyHost) snapshot(handle uint64) (store.Snapshot, error) {
	if handle == 0 {
		return nil, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	snap := h.snapshots[handle]
	if snap == nil {
		return nil, fmt.Errorf("no such snapshot: %w", store.ErrInvalid)
	}
	return snap, nil
}

func (h *partyHost) openSnapshot(id uint64) error {
	h.mu.Lock()
	if len(h.snapshots) >= maxHandles {
		h.mu.Unlock()
		return h.reply(id, Response{}, fmt.Errorf("more than %d snapshots: %w", maxHandles, store.ErrTooLarge))
	}
	h.handles++
	handle := h.handles
	h.mu.Unlock()
	snap, err := h.host.Store.Snapshot()
	if err == nil {
		h.mu.Lock()
		h.snapshots[handle] = snap
		h.mu.Unlock()
	}
	return h.reply(id, Response{Handle: handle}, err)
}

// read answers with one chunk of a cursor. The chunk is encoded as it is read.
func (h *partyHost) read(id uint64, r *Request) error {
	c := h.cursors[r.read.cursor]
	if c == nil {
		if !r.read.open {
			return h.reply(id, Response{}, fmt.Errorf("no such cursor: %w", store.ErrInvalid))
		}
		if len(h.cursors) >= maxHandles {
			return h.reply(id, Response{}, fmt.Errorf("more than %d iterators: %w", maxHandles, store.ErrTooLarge))
		}
		snap, err := h.snapshot(r.Handle)
		if err != nil {
			return h.reply(id, Response{}, err)
		}
		bounds, err := h.ranges.add(h.host, r.read.cursor, r.Bounds)
		if err != nil {
			return h.reply(id, Response{}, err)
		}
		c = &hostCursor{it: h.host.Store.Iterator(bounds, snap)}
		h.cursors[r.read.cursor] = c
	}
	ok := c.move(r)
	if err := c.it.Err(); err != nil {
		return h.reply(id, Response{}, err)
	}
	maxBytes, maxCount := min(max(r.read.maxBytes, 1), maxChunk), r.read.maxCount
	var large *hold
	defer func() { large.release() }()
	return h.answer(func(dst []byte) []byte {
		dst, mark := beginFrame(dst, tagAnswer)
		dst = appendUint(dst, 1, id)
		for n := 0; ok; {
			// At most one is large: it fills the chunk. Without room the connection
			// has ended.
			size := len(c.it.Key())
			if !r.read.noValues {
				size += len(c.it.Value())
			}
			if large, _ = h.hold(size); h.ctx.Err() != nil {
				break
			}
			dst = appendBytes(dst, 7, c.it.Key())
			if !r.read.noValues {
				dst = appendBytes(dst, 7, c.it.Value())
			}
			c.placed = true
			if n++; n == maxCount || len(dst)-mark >= maxBytes {
				break
			}
			ok = c.step()
		}
		// What was read is whole. If the walk ended at a damaged block, the
		// guest shall ask on and be told.
		return endFrame(appendUint(dst, 9, boolUint(ok || c.it.Err() != nil, 1)), mark)
	})
}

// move goes to where a read begins.
func (c *hostCursor) move(r *Request) bool {
	if r.read.position == Continue && c.placed && c.reverse == r.Reverse {
		return c.step()
	}
	c.reverse = r.Reverse
	switch r.read.position {
	case Start:
		if r.Reverse {
			return c.it.Last()
		}
		return c.it.First()
	case From:
		if !r.Reverse {
			return c.it.Seek(r.Key)
		}
		if c.it.Seek(r.Key) {
			return c.it.Prev()
		}
		return c.it.Last()
	}
	c.placed = false
	return false
}

func (c *hostCursor) step() bool {
	var ok bool
	if c.reverse {
		ok = c.it.Prev()
	} else {
		ok = c.it.Next()
	}
	c.placed = ok
	return ok
}

func (h *partyHost) administer(id uint64, r *Request) error {
	admin := h.host.Admin
	if admin == nil {
		return h.reply(id, Response{}, store.ErrNotSupported)
	}
	switch r.Op {
	case OpCompact:
		b := cloneBounds(r.Bounds)
		cost, err := h.keep(len(b.Lower) + len(b.Upper))
		if err != nil {
			return err
		}
		return h.beside(id, func() (Response, error) {
			defer h.waiting.Release(cost)
			return Response{}, admin.CompactRange(h.ctx, b)
		})
	case OpSize:
		n, err := admin.ApproximateSize(r.Bounds)
		return h.reply(id, Response{Count: n}, err)
	case OpProperty:
		v, err := admin.Property(r.Name)
		return h.reply(id, Response{Value: []byte(v)}, err)
	case OpLeave:
		admin.Forget(h.client)
		return h.reply(id, Response{}, nil)
	case OpStatus:
		return h.reply(id, Response{Value: admin.Status()}, nil)
	}
	return fmt.Errorf("unknown operation %d: %w", r.Op, store.ErrInvalid)
}

func cloneBounds(b store.Bounds) store.Bounds {
	return store.Bounds{Lower: cloneBytes(b.Lower), Upper: cloneBytes(b.Upper)}
}

func cloneBytes(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}

func (h *partyHost) close() {
	// A commit under way ends with the connection's context.
	h.end(0)
	h.running.Wait()
	h.end(0) // one that was granted meanwhile
	h.mu.Lock()
	snaps := h.snapshots
	h.snapshots = nil
	h.mu.Unlock()
	for _, c := range h.cursors {
		c.it.Close()
	}
	for _, s := range snaps {
		s.Release()
	}
}
