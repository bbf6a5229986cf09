package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// A goroutine that reads for all callers has to wake each of them, which in a
// process with nothing else to do costs more than the rest of the call: a round
// trip through a socket took 36 µs that way, and 17 µs if the caller read. So a
// call that waits alone on a Party link reads the connection itself.
//
// Whoever reads holds the token in Link.turn. Most of the time that is the
// link's own reader, so that the end of the connection is noticed. It steps
// aside when a lone call would have read, and comes back when calls wait
// together, or when none has waited for a while.
//
// On the npm protocols the link's own reader always reads.

// readPause is how long lone calls follow one another before the link's reader
// steps aside, and how long none comes before it is back.
const readPause = 5 * time.Millisecond

// read is the link's own reader.
func (l *Link) read() {
	for {
		select {
		case <-l.turn:
		case <-l.down:
			return
		}
		for crowd := time.Now(); ; {
			if err := l.take(); err != nil {
				l.end(err)
				return
			}
			if l.crowd.Swap(false) {
				crowd = time.Now()
			} else if l.missed.Load() && time.Since(crowd) > readPause {
				break
			}
		}
		l.missed.Store(false)
		select {
		case <-l.wanted: // by calls answered meanwhile
		default:
		}
		l.turn <- struct{}{}
		// A call that has missed the turn just now counts on this reader. One that
		// comes later finds the turn.
		if l.calls.Len() == 0 {
			l.aside()
		}
	}
}

// aside waits until the link's reader is wanted.
func (l *Link) aside() {
	tick := time.NewTicker(readPause)
	defer tick.Stop()
	for seen := l.alone.Load(); ; {
		select {
		case <-l.wanted:
			return
		case <-l.down:
			return
		case <-tick.C:
		}
		now := l.alone.Load()
		if now == seen {
			return
		}
		seen = now
	}
}

// want calls the link's reader back.
func (l *Link) want() {
	select {
	case l.wanted <- struct{}{}:
	default:
	}
}

// Attend is called by who waits for the outcome of c, which was sent through l.
// It returns true if it has seen the outcome itself, and else leaves the waiting
// to the caller.
func (l *Link) Attend(ctx context.Context, c *Call) bool {
	if l.proto != Party {
		return false
	}
	if !c.alone {
		l.crowd.Store(true)
		l.want()
		return false
	}
	select {
	case <-l.turn:
	default:
		l.missed.Store(true)
		return false
	}
	l.alone.Add(1)
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, l.interrupt)
		defer stop()
	}
	for len(c.done) == 0 && ctx.Err() == nil {
		if err := l.take(); err != nil {
			l.end(err)
			return false
		}
	}
	l.turn <- struct{}{}
	if l.calls.Len() > 0 {
		l.want()
	}
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// take handles a frame, for which it waits, and those that came with it.
// REQUIRES: the turn.
func (l *Link) take() error {
	for {
		frame, err := l.frames.next()
		if errors.Is(err, os.ErrDeadlineExceeded) && l.resume() {
			return nil
		}
		if err == nil {
			err = l.codec.handle(frame)
		}
		if err != nil || !l.frames.buffered() {
			return err
		}
	}
}

// interrupt makes the take that waits return, or the next one.
func (l *Link) interrupt() { _ = l.conn.SetReadDeadline(time.Unix(1, 0)) }

// resume undoes interrupt. It reports false when the time for reading is over.
func (l *Link) resume() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.until.IsZero() && time.Now().After(l.until) {
		return false
	}
	return l.conn.SetReadDeadline(l.until) == nil
}

// end takes the link down. What the leader sent before it died has been taken
// in: an answer in the socket counts. REQUIRES: the turn, which is never given
// back.
func (l *Link) end(err error) {
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("leader closed the connection: %w", io.EOF)
	}
	l.fail(err)
	l.codec.lost()
	close(l.down)
	l.frames.release()
}
