package wire

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// echoLink returns a Party link to a leader that answers each request but those
// for the key "silent" with its key.
func echoLink(t *testing.T) (l *Link, leader net.Conn) {
	guest, leader := connectedPair(t)
	l = NewLink(guest, Party, NewCalls(), 0)
	var echoing sync.WaitGroup
	echoing.Go(func() {
		frames := newFrameReader(leader, 0)
		for {
			f, err := frames.next()
			if err != nil {
				return
			}
			var r Request
			id, err := decodeRequest(f[0], f[1:], &r)
			if err != nil {
				t.Error(err)
				return
			}
			if string(r.Key) == "silent" {
				continue
			}
			if _, err := leader.Write(appendAnswer(nil, id, &Response{Value: r.Key}, nil)); err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		l.Close()
		leader.Close()
		<-l.Down()
		echoing.Wait()
	})
	return l, leader
}

// readsAlone makes lone calls until they read themselves.
func readsAlone(t *testing.T, l *Link) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); l.alone.Load() < 3; {
		if r, err := l.Do(context.Background(), Request{Op: OpGet, Key: []byte("k")}); err != nil || string(r.Value) != "k" {
			t.Fatalf("got %q, %v", r.Value, err)
		}
		if time.Now().After(deadline) {
			t.Fatal("lone calls do not read")
		}
	}
}

func TestIdleLinkNoticesItsEnd(t *testing.T) {
	l, leader := echoLink(t)
	readsAlone(t, l)
	leader.Close()
	select {
	case <-l.Down():
	case <-time.After(10 * time.Second):
		t.Fatal("not noticed")
	}
	if _, err := l.Do(context.Background(), Request{Op: OpGet, Key: []byte("k")}); err == nil {
		t.Error("a call succeeded on a link that is down")
	}
}

func TestLoneCallEndsWithItsContext(t *testing.T) {
	l, _ := echoLink(t)
	for range 3 {
		readsAlone(t, l)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		_, err := l.Do(ctx, Request{Op: OpGet, Key: []byte("silent")})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want DeadlineExceeded", err)
		}
		if n := l.calls.Len(); n != 0 {
			t.Fatalf("%d calls wait", n)
		}
	}
}

// A call that joins one that reads is answered though the reader waits on.
func TestCallsJoinALoneOne(t *testing.T) {
	l, _ := echoLink(t)
	readsAlone(t, l)
	ctx, cancel := context.WithCancel(context.Background())
	var silent sync.WaitGroup
	silent.Go(func() { _, _ = l.Do(ctx, Request{Op: OpGet, Key: []byte("silent")}) })
	for l.calls.Len() == 0 {
		time.Sleep(time.Millisecond)
	}
	for range 100 {
		if _, err := l.Do(context.Background(), Request{Op: OpGet, Key: []byte("k")}); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	silent.Wait()
}

// Calls alone and together, cancelled or not, are all answered.
func TestReadersTakeTurns(t *testing.T) {
	l, _ := echoLink(t)
	end := time.Now().Add(500 * time.Millisecond)
	var callers sync.WaitGroup
	for i := range 4 {
		callers.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(i)))
			for time.Now().Before(end) {
				// Together for a while, and then one by one.
				if i > 0 && rnd.IntN(20) == 0 {
					time.Sleep(time.Duration(rnd.IntN(30)) * time.Millisecond)
				}
				ctx, key, cancel := context.Background(), "k", context.CancelFunc(func() {})
				if rnd.IntN(50) == 0 {
					key = "silent"
					ctx, cancel = context.WithTimeout(ctx, time.Duration(rnd.IntN(1000))*time.Microsecond)
				} else if rnd.IntN(4) == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Minute)
				}
				_, err := l.Do(ctx, Request{Op: OpGet, Key: []byte(key)})
				cancel()
				if err != nil && !(key == "silent" && errors.Is(err, context.DeadlineExceeded)) {
					t.Errorf("get %s: %v", key, err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		callers.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("a call is not answered")
	}
	if n := l.calls.Len(); n != 0 {
		t.Errorf("%d calls wait", n)
	}
}
