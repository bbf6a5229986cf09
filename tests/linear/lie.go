//go:build unix

package linear

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/levelparty/party"
)

// Lies are what a process can be told to do wrong, so that the check is seen to
// find it out: answer with an old value, acknowledge a write and not do it, do it
// a second time, write a batch in two steps.
var Lies = []string{"stale read", "lost write", "duplicated write", "torn batch"}

// liar is a handle that lies now and then.
type liar struct {
	*party.DB
	lie string
	was map[string][]byte
}

func newLiar(db *party.DB, lie string) *liar {
	return &liar{DB: db, lie: lie, was: make(map[string][]byte)}
}

// now reports whether the liar lies now, if that is its lie.
func (l *liar) now(lie string) bool { return l.lie == lie && rand.IntN(8) == 0 }

func (l *liar) Get(ctx context.Context, key []byte) ([]byte, error) {
	if was, ok := l.was[string(key)]; ok && l.now("stale read") {
		return was, nil
	}
	v, err := l.DB.Get(ctx, key)
	if err == nil && l.was[string(key)] == nil {
		l.was[string(key)] = v
	}
	return v, err
}

func (l *liar) Put(ctx context.Context, key, value []byte, o ...party.WriteOptions) error {
	if l.now("lost write") {
		return nil
	}
	err := l.DB.Put(ctx, key, value, o...)
	if err == nil && l.now("duplicated write") {
		time.AfterFunc(30*time.Millisecond, func() { _ = l.DB.Put(context.Background(), key, value) })
	}
	return err
}

func (l *liar) Write(ctx context.Context, b *party.Batch, o ...party.WriteOptions) error {
	if b.Len() < 2 || !l.now("torn batch") {
		return l.DB.Write(ctx, b, o...)
	}
	var first, second party.Batch
	half := func() *party.Batch {
		if first.Len() == 0 {
			return &first
		}
		return &second
	}
	err := b.Replay(
		func(key, value []byte) { half().Put(key, value) },
		func(key []byte) { half().Delete(key) },
	)
	if err == nil {
		err = l.DB.Write(ctx, &first, o...)
	}
	time.Sleep(5 * time.Millisecond)
	return errors.Join(err, l.DB.Write(ctx, &second, o...))
}
