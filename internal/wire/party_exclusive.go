package wire

import (
	"context"
	"errors"
	"fmt"

	"github.com/levelparty/party/internal/store"
)

// This file is about writing alone: the guest that has the right to, and the
// others, whose writes wait without holding up what else they ask.

// unlessHeld is the connection's context, but ends as soon as somebody writes
// alone. It does not end with the connection: a commit that waits for nobody
// does not take long.
type unlessHeld struct {
	context.Context
	held <-chan struct{}
}

func (c *unlessHeld) Done() <-chan struct{} { return c.held }

func (c *unlessHeld) Err() error {
	select {
	case <-c.held:
		return errHeld
	default:
		return nil
	}
}

var errHeld = errors.New("somebody writes alone")

// hostTx is the guest's exclusive right to write, wanted or had.
type hostTx struct {
	handle uint64
	store  store.Store
	end    func()
	cancel context.CancelFunc
	// held are the guest's other writes, which wait for the end.
	held []heldWrite
}

type heldWrite struct {
	id   uint64
	w    *store.Write
	cost int64 // of partyHost.waiting
}

func (h *partyHost) current() *hostTx {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tx
}

// writeInTx handles a write of a guest that has, or wants, the exclusive right
// to write: one through the right itself is applied, others wait for its end.
func (h *partyHost) writeInTx(tx *hostTx, id uint64, r *Request, w *store.Write, mark [2]int) error {
	if mark[1] > mark[0] {
		w.Records = append([]byte(nil), h.arena[mark[0]:]...)
		h.arena = h.arena[:mark[0]]
	} else {
		w.Records = append([]byte(nil), w.Records...)
	}
	cost, err := h.keep(len(w.Records))
	if err != nil {
		return err
	}
	h.mu.Lock()
	if r.Handle == 0 && h.tx != nil {
		tx.held = append(tx.held, heldWrite{id, w, cost})
		h.mu.Unlock()
		return nil
	}
	ok := tx != nil && tx.store != nil && tx.handle == r.Handle
	h.mu.Unlock()
	if !ok {
		h.waiting.Release(cost)
		return h.reply(id, Response{}, fmt.Errorf("no such exclusive write: %w", store.ErrInvalid))
	}
	return h.beside(id, func() (Response, error) {
		defer h.waiting.Release(cost)
		tx.store.Commit(h.ctx, []*store.Write{w})
		return Response{}, w.Err
	})
}

// takeOut returns the gathered writes with memory of their own.
func (h *partyHost) takeOut() ([]heldWrite, error) {
	cost, err := h.keep(h.bytes + waitingCost*len(h.writes))
	if err != nil {
		return nil, err
	}
	held, own := make([]heldWrite, len(h.writes)), make([]byte, 0, h.bytes)
	for i, w := range h.writes {
		own = append(own, w.Records...)
		w.Records = own[len(own)-len(w.Records):]
		held[i] = heldWrite{id: h.ids[i], w: w}
	}
	held[0].cost = cost // of all of them
	return held, nil
}

// commit applies writes, beside the reader, and answers them: some at a time, for
// together they can be many.
func (h *partyHost) commit(held []heldWrite) error {
	for len(held) > 0 {
		var writes []*store.Write
		for size := 0; len(writes) < len(held) && (size < maxGather || len(writes) == 0); {
			w := held[len(writes)].w
			writes, size = append(writes, w), size+len(w.Records)
		}
		h.host.Store.Commit(h.ctx, writes)
		for i, w := range writes {
			h.waiting.Release(held[i].cost)
			w.Records = nil
			if err := h.reply(held[i].id, Response{}, w.Err); err != nil {
				return err
			}
		}
		held = held[len(writes):]
	}
	return nil
}

// mustPark reports whether a commit would wait for who writes alone, or
// overtake one that does.
func (h *partyHost) mustPark() bool {
	if h.host.Admin == nil {
		return false
	}
	select {
	case <-h.host.Admin.Held():
		return true
	default:
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.parking
}

// park leaves the gathered writes to a goroutine, which waits with them.
func (h *partyHost) park() error {
	held, err := h.takeOut()
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.parked = append(h.parked, held...)
	if !h.parking {
		h.parking = true
		h.running.Add(1)
		go h.commitParked()
	}
	return nil
}

func (h *partyHost) commitParked() {
	defer h.running.Done()
	for {
		h.mu.Lock()
		held := h.parked
		h.parked, h.parking = nil, len(held) > 0
		h.mu.Unlock()
		if len(held) == 0 {
			return
		}
		if err := errors.Join(h.commit(held), h.flush()); err != nil {
			h.conn.Close()
		}
	}
}

// begin waits, beside the reader, for the exclusive right to write.
func (h *partyHost) begin(id uint64) error {
	if h.host.Admin == nil {
		return h.reply(id, Response{}, store.ErrNotSupported)
	}
	h.mu.Lock()
	if h.tx != nil {
		h.mu.Unlock()
		return h.reply(id, Response{}, fmt.Errorf("a second exclusive write: %w", store.ErrInvalid))
	}
	ctx, cancel := context.WithCancel(h.ctx)
	h.handles++
	tx := &hostTx{handle: h.handles, cancel: cancel}
	h.tx = tx
	h.mu.Unlock()
	// What was gathered must not wait behind the right.
	if err := h.settle(); err != nil {
		return err
	}
	return h.beside(id, func() (Response, error) {
		st, end, err := h.host.Admin.Begin(ctx)
		h.mu.Lock()
		if err == nil && h.tx == tx {
			tx.store, tx.end = st, end
			h.mu.Unlock()
			return Response{Handle: tx.handle}, nil
		}
		h.mu.Unlock()
		if err == nil {
			end() // the guest has given up
			err = context.Canceled
		}
		return Response{}, errors.Join(err, h.release(tx))
	})
}

// end gives the right back. Handle 0 is the one that is wanted.
func (h *partyHost) end(handle uint64) {
	h.mu.Lock()
	tx := h.tx
	h.mu.Unlock()
	if tx == nil || handle != 0 && handle != tx.handle {
		return
	}
	_ = h.release(tx) // a failed answer ends the connection by itself
}

// release ends tx and sees to the writes that waited for it.
func (h *partyHost) release(tx *hostTx) error {
	h.mu.Lock()
	if h.tx == tx {
		h.tx = nil
	}
	end, held := tx.end, tx.held
	tx.end, tx.held = nil, nil
	h.mu.Unlock()
	tx.cancel()
	if end != nil {
		end()
	}
	if len(held) == 0 {
		return nil
	}
	return h.beside(noAnswer, func() (Response, error) { return Response{}, h.commit(held) })
}
