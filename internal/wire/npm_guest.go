package wire

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/levelparty/party/internal/store"
)

// npmGuest is what the guests of both npm protocols have in common: everything
// but cursors and the words for errors. A call's ID is its id on the wire.
type npmGuest struct {
	l     *Link
	fault func(op Op, text []byte) error // the error behind the leader's word
}

// npmOps names the operations that the npm protocols can carry.
var npmOps = map[Op]string{
	OpGet: "get", OpHas: "has", OpGetMany: "get many", OpPut: "put",
	OpDelete: "delete", OpBatch: "batch", OpClear: "clear",
}

// unsupported tells that what is missing is missing in the leader.
func (g *npmGuest) unsupported(what string) error {
	return fmt.Errorf("%s: a %s process leads: %w", what, g.l.proto, store.ErrNotSupported)
}

// appendCall appends the frame of c.
func (g *npmGuest) appendCall(dst []byte, c *Call) ([]byte, error) {
	name, ok := npmOps[c.Op]
	switch {
	case !ok:
		return dst, g.unsupported(npmMissing(c.Op))
	case c.Sync:
		return dst, g.unsupported(name + " with sync")
	case c.Request.Handle != 0:
		return dst, g.unsupported(name + " at a snapshot")
	}
	start := len(dst)
	var mark int
	switch c.Op {
	case OpGet, OpHas:
		dst, mark = beginFrame(dst, npmGet)
		dst = keyMessage{id: c.ID, key: c.Key}.append(dst)
	case OpGetMany:
		dst, mark = beginFrame(dst, npmGetMany)
		dst = appendGetMany(dst, c.ID, c.Keys)
	case OpPut:
		dst, mark = beginFrame(dst, npmPut)
		dst = keyMessage{id: c.ID, key: c.Key, value: orEmpty(c.Request.Value)}.append(dst)
	case OpDelete:
		dst, mark = beginFrame(dst, npmDelete)
		dst = keyMessage{id: c.ID, key: c.Key}.append(dst)
	case OpBatch:
		dst, mark = beginFrame(dst, npmBatch)
		var err error
		if dst, err = appendBatch(dst, c.ID, c.Records); err != nil {
			return dst[:start], fmt.Errorf("batch: %w", err)
		}
	case OpClear:
		o, err := clearOptions(c)
		if err != nil {
			return dst[:start], err
		}
		dst, mark = beginFrame(dst, npmClear)
		dst = clearMessage{id: c.ID, options: o}.append(dst)
	}
	return endFrame(dst, mark), nil
}

func npmMissing(op Op) string {
	switch op {
	case OpSnapshot, OpReleaseSnapshot:
		return "snapshot"
	case OpBegin, OpEnd:
		return "transaction"
	case OpCompact:
		return "compact range"
	case OpSize:
		return "approximate size"
	case OpProperty:
		return "property"
	case OpStatus:
		return "status"
	}
	return fmt.Sprintf("operation %d", op)
}

// clearOptions says c's range. leveldown takes an empty option for an absent
// one, so a range that admits nothing is said by its limit.
func clearOptions(c *Call) (npmOptions, error) {
	o := rangeOptions(c.Bounds)
	o.limit, o.reverse = c.Limit, c.Reverse
	switch {
	case c.Limit < 0:
		o.limit = -1
	case c.Limit > math.MaxInt32: // what the npm databases count with
		return o, fmt.Errorf("clear: limit %d, at most %d: %w", c.Limit, math.MaxInt32, store.ErrInvalid)
	}
	if c.Bounds.Empty() {
		o.limit = 0
	}
	return o, nil
}

// rangeOptions leaves out what bounds nothing.
func rangeOptions(b store.Bounds) npmOptions {
	o := npmOptions{gte: b.Lower, lt: b.Upper, limit: -1}
	if len(o.gte) == 0 {
		o.gte = nil
	}
	return o
}

// callback takes in the answer to any call but OpGetMany.
func (g *npmGuest) callback(msg []byte) error {
	m, err := decodeCallback(msg)
	if err != nil {
		return fmt.Errorf("callback: %w", err)
	}
	c := g.l.calls.Take(m.id)
	if c == nil {
		return nil // given up, or answered on an earlier link
	}
	switch {
	case len(m.error) > 0:
		err := g.fault(c.Op, m.error)
		if c.Op == OpHas && errors.Is(err, store.ErrNotFound) {
			err = nil // it has not
		}
		c.Finish(err)
		return nil
	case c.Op == OpGet && m.value != nil:
		c.Response = Response{Value: cloneBytes(m.value)}
	case c.Op == OpGet:
		c.Finish(store.ErrNotFound)
		return nil
	case c.Op == OpHas:
		c.Response = Response{More: m.value != nil}
	case c.Op == OpClear:
		c.Response = Response{Count: -1} // the protocol does not tell
	case c.Op == OpGetMany:
		err := fmt.Errorf("get many: answered with one value: %w", store.ErrInvalid)
		c.Finish(err)
		return err
	}
	c.Finish(nil)
	return nil
}

// getManyCallback takes in the answer to OpGetMany.
func (g *npmGuest) getManyCallback(msg []byte) error {
	// One copy holds all values.
	m, err := decodeGetManyCallback(slices.Clone(msg))
	if err != nil {
		return fmt.Errorf("get many callback: %w", err)
	}
	c := g.l.calls.Take(m.id)
	if c == nil {
		return nil
	}
	if len(m.error) > 0 {
		c.Finish(g.fault(c.Op, m.error))
		return nil
	}
	if c.Op != OpGetMany || len(m.values) != len(c.Keys) {
		err := fmt.Errorf("answered with %d values, want %d: %w", len(m.values), len(c.Keys), store.ErrInvalid)
		c.Finish(err)
		return err
	}
	c.Response = Response{Values: m.values}
	c.Finish(nil)
	return nil
}

// lost has nothing to do: cursors watch the link.
func (g *npmGuest) lost() {}
