//go:build linux

package security

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/partytest"
)

// The leader of these tests takes messages of maxMessage, and may have maxOpen
// descriptors.
const (
	maxMessage = 4 << 20
	maxOpen    = 512
)

// A guest costs its leader no more than this, whatever it does: what waits beside
// its reader (128 MiB), its answers, and as much again that the garbage collector
// has not found yet. Without a bound each of the tests would come to a multiple.
const mostOfOne = 448 << 20

// Many guests together cost no more than this for what is large: four times the
// largest message, as much again in garbage, buffers, and iterators.
const mostOfMany = 192 << 20

// host leads. It answers each order with what it holds, after a garbage
// collection.
func host(p *partytest.Self) error {
	limit := syscall.Rlimit{Cur: maxOpen, Max: maxOpen}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	db, err := party.Open(context.Background(), p.Args[0], &party.Options{MaxMessage: maxMessage, Lead: party.LeadFirst})
	if err != nil {
		return err
	}
	defer db.Close()
	for db.Role() != party.Leader {
		time.Sleep(time.Millisecond)
	}
	for {
		runtime.GC()
		debug.FreeOSMemory()
		p.Report(holds{runtime.NumGoroutine(), openFiles()})
		var order string
		if err := p.Order(&order); err != nil {
			return err
		}
	}
}

type holds struct{ Goroutines, Files int }

func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// target is a leader in a process of its own, beside which others work.
type target struct {
	*testing.T
	dir    string
	leader *partytest.Process
	idle   holds
	others []*party.DB
	before int64
	most   atomic.Int64
	stop   chan struct{}
	ended  sync.WaitGroup
}

// beset starts a leader, a member and a guest. When the test ends it looks that
// both have gone on, what the leader has taken at most, and that it gives all back.
func beset(t *testing.T, most int64) *target {
	t.Helper()
	x := &target{T: t, dir: t.TempDir(), stop: make(chan struct{})}
	x.leader = partytest.Start(t, "host", x.dir)
	x.leader.Expect(&x.idle)
	for _, o := range []party.Options{{Lead: party.LeadNever}, {Lead: party.LeadNever, Sockets: true}} {
		o.MaxMessage = maxMessage
		db, err := party.Open(context.Background(), x.dir, &o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		x.others = append(x.others, db)
	}
	x.round()
	x.leader.Order("")
	x.leader.Expect(&x.idle)
	x.before = anonymous(t, x.leader.PID())
	x.ended.Add(1)
	go func() {
		defer x.ended.Done()
		for {
			x.most.Store(max(x.most.Load(), anonymous(t, x.leader.PID())))
			select {
			case <-x.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() {
		close(x.stop)
		x.ended.Wait()
		grown := x.most.Load() - x.before
		t.Logf("the leader has grown by %d MiB at most", grown>>20)
		if grown > most && !raceEnabled {
			t.Errorf("the leader has grown by %d MiB, limit %d", grown>>20, most>>20)
		}
	})
	return x
}

// anonymous returns how much memory of its own a process has.
func anonymous(t *testing.T, pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0 // it has ended
	}
	_, rest, _ := strings.Cut(string(b), "RssAnon:")
	var kb int64
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		t.Error(err)
	}
	return kb << 10
}

// round has the others work.
func (x *target) round() {
	x.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for i, db := range x.others {
		key := fmt.Appendf(nil, "k%d", i)
		if err := db.Put(ctx, key, []byte("v")); err != nil {
			x.Fatalf("%v: put: %v", db.Role(), err)
		}
		if v, err := db.Get(ctx, key); err != nil || string(v) != "v" {
			x.Fatalf("%v: got %q, %v", db.Role(), v, err)
		}
	}
}

// released waits until the leader holds what it held before.
func (x *target) released() {
	x.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		var now holds
		x.leader.Order("")
		x.leader.Expect(&now)
		if now.Goroutines <= x.idle.Goroutines+4 && now.Files <= x.idle.Files+8 {
			return
		}
		if time.Now().After(deadline) {
			x.Fatalf("the guests have gone, and the leader holds %+v, before %+v", now, x.idle)
		}
	}
}

// evil is a connection that speaks as it likes.
type evil struct{ net.Conn }

func (x *target) dial(proto string) evil {
	x.Helper()
	conn, err := net.Dial("unix", filepath.Join(x.dir, proto+".sock"))
	if err != nil {
		x.Fatal(err)
	}
	x.Cleanup(func() { conn.Close() })
	e := evil{conn}
	if proto == "party" {
		e.send(127, field(1, 1))
	}
	return e
}

// push writes until it is done, the other end has closed, or has not read for a
// while. It returns how much was written.
func (e evil) push(b []byte) (n int, err error) {
	e.SetWriteDeadline(time.Now().Add(5 * time.Second))
	return e.Write(b)
}

func (e evil) send(tag byte, fields ...[]byte) (n int, err error) {
	return e.push(frame(tag, fields...))
}

// ends waits until the other end has closed.
func (e evil) ends(t *testing.T) {
	t.Helper()
	e.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.Copy(io.Discard, e); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection goes on: %v", err)
	}
}

func frame(tag byte, fields ...[]byte) []byte {
	msg := append([]byte{tag}, bytes.Join(fields, nil)...)
	return append(binary.AppendUvarint(nil, uint64(len(msg))), msg...)
}

func field(num int, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(num)<<3), v)
}

func blob(num int, b []byte) []byte {
	head := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(num)<<3|2), uint64(len(b)))
	return append(head, b...)
}

var protocols = []string{"party", "rave-level", "level-party"}

// Property: garbage, in frames or not, ends the connection it comes on, and
// lengths cost nothing before their bytes have come.
func TestGuestGarbage(t *testing.T) {
	x := beset(t, mostOfMany)
	random := partytest.Random(t)
	for _, proto := range protocols {
		for _, length := range [][]byte{
			bytes.Repeat([]byte{0x80}, 1<<20),                             // no end
			binary.AppendUvarint(nil, 1<<63),                              // no memory
			binary.AppendUvarint(nil, maxMessage+1),                       // too large
			append(bytes.Repeat([]byte{0}, 8<<20), frame(99)...),          // nothing, again and again
			frame(0, bytes.Repeat([]byte{0xff}, 1<<10)),                   // no message
			frame(3, blob(2, blob(2, blob(2, blob(2, make([]byte, 9)))))), // messages in messages
		} {
			e := x.dial(proto)
			e.push(length)
			e.ends(t)
		}
		for range 20 {
			e := x.dial(proto)
			for range 200 {
				junk := make([]byte, random.IntN(64))
				for i := range junk {
					junk[i] = byte(random.IntN(256))
				}
				e.send(byte(random.IntN(18)), junk)
			}
			e.Close()
		}
	}
	x.round()
	x.released()
}

// Property: guests that stop in the middle of a large message, or announce one
// and send nothing, share a bounded space, and keep nobody from small messages,
// nor for good from large ones.
func TestGuestsHalfFrames(t *testing.T) {
	if testing.Short() {
		t.Skip("waits until guests are put out")
	}
	x := beset(t, mostOfMany)
	for i := range 100 {
		e := x.dial(protocols[i%len(protocols)])
		head := binary.AppendUvarint(nil, maxMessage)
		sent := append(head, make([]byte, maxMessage-1)...)
		if i%2 == 0 {
			sent = head
		}
		go e.push(sent)
	}
	x.round()
	// It takes its turn behind those who are put out for it.
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if err := x.others[1].Put(ctx, []byte("large"), make([]byte, maxMessage/2)); err != nil {
		t.Errorf("a large message of a guest that behaves: %v", err)
	}
	x.round()
}

// Property: a guest that asks for much and reads nothing is not read from, and
// many of them share a bounded space.
func TestGuestsReadNothing(t *testing.T) {
	x := beset(t, mostOfMany)
	if err := x.others[0].Put(context.Background(), []byte("large"), make([]byte, maxMessage-4096)); err != nil {
		t.Fatal(err)
	}
	var asked sync.WaitGroup
	for i := range 60 {
		proto := protocols[i%len(protocols)]
		e := x.dial(proto)
		asked.Add(1)
		go func() {
			defer asked.Done()
			for id := uint64(1); id <= 20_000; id++ {
				var err error
				switch {
				case i%2 == 0 && proto == "party":
					_, err = e.send(0, field(1, id), blob(3, []byte("large")))
				case i%2 == 0:
					_, err = e.send(0, field(1, id), blob(2, []byte("large")))
				case proto == "party":
					_, err = e.send(9, field(1, id), field(10, 8), field(13, id%5000), field(14, 1), field(15, 1<<40), field(16, 1<<40))
				case proto == "rave-level":
					_, err = e.send(4, field(1, id), field(2, 0), blob(3, append(append(field(1, 1), field(2, 1)...), field(7, 1)...)), field(4, 0))
				default:
					_, err = e.send(4, field(1, id), field(2, 1<<40), blob(3, append(append(field(1, 1), field(2, 1)...), field(7, 1)...)))
				}
				if err != nil {
					return
				}
			}
			t.Errorf("%s: was read from, though it read nothing", proto)
		}()
	}
	x.round()
	asked.Wait()
	x.round()
}

// Property: what one guest can keep open is bounded: iterators, also by what
// their bounds hold, and snapshots; and all of it goes with the guest.
func TestGuestKeepsOpen(t *testing.T) {
	x := beset(t, mostOfOne)
	for _, size := range []int{0, 256 << 10} {
		for _, proto := range protocols {
			e := x.dial(proto)
			go io.Copy(io.Discard, e)
			bound := bytes.Repeat([]byte{'a'}, size)
			for id := uint64(1); id <= uint64(6000); id++ {
				if size > 0 && id == 300 {
					break
				}
				var err error
				switch proto {
				case "party":
					_, err = e.send(9, field(1, 2*id), field(10, 8), field(13, id), field(14, 1), field(15, 100), field(16, 1), blob(7, bound))
					if err == nil {
						_, err = e.send(7, field(1, 2*id+1))
					}
				case "rave-level":
					_, err = e.send(4, field(1, id), field(2, 0), blob(3, append(field(1, 1), blob(4, bound)...)), field(4, 0))
				default:
					_, err = e.send(4, field(1, id), field(2, 1), blob(3, append(field(1, 1), blob(4, bound)...)))
				}
				if err != nil {
					t.Fatalf("%s: iterator %d: %v", proto, id, err)
				}
			}
			x.round()
			e.Close()
			x.released()
		}
	}
}

// Property: a request of very many keys is refused, and a batch of very many
// records costs in proportion to its bytes.
func TestGuestCounts(t *testing.T) {
	x := beset(t, mostOfOne)
	for _, proto := range protocols {
		e := x.dial(proto)
		var read atomic.Int64
		go func() {
			for b := make([]byte, 1<<16); ; {
				n, err := e.Read(b)
				if read.Add(int64(n)); err != nil {
					return
				}
			}
		}()
		keys, batch := bytes.Repeat(blob(2, nil), maxMessage/2-64), bytes.Repeat(blob(2, append(blob(1, []byte("del")), blob(2, nil)...)), maxMessage/10)
		many, records := byte(6), byte(3)
		if proto == "party" {
			keys, batch = bytes.Repeat(blob(5, nil), maxMessage/2-64), blob(6, make([]byte, maxMessage/2)) // deletions of the empty key
			many, records = 2, 5
		}
		e.SetWriteDeadline(time.Time{}) // millions of keys take their time
		for _, request := range [][]byte{frame(many, field(1, 1), keys), frame(records, field(1, 2), batch)} {
			if _, err := e.Write(request); err != nil {
				t.Errorf("%s: %v", proto, err)
			}
		}
		x.round()
		for read.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		e.Close()
	}
	x.released()
}

// Property: writes that wait for somebody who writes alone are bounded: the guest
// is not read from any more, whether it is itself the one or not.
func TestGuestWritesWait(t *testing.T) {
	if testing.Short() {
		t.Skip("waits until guests are put out")
	}
	for _, itself := range []bool{false, true} {
		t.Run(fmt.Sprintf("itself=%v", itself), func(t *testing.T) {
			x := beset(t, mostOfOne)
			alone := x.dial("party")
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				io.ReadFull(alone, make([]byte, 32)) // hello and answer, at least
			}()
			alone.send(11, field(1, 1))
			e := alone
			if !itself {
				e = x.dial("party")
			}
			var sent int
			for id := uint64(2); sent < 1<<30; id++ {
				n, err := e.send(3, field(1, id), field(2, id), blob(3, []byte("k")), blob(4, make([]byte, 3<<20)))
				sent += n
				if err != nil {
					break
				}
			}
			if sent >= 1<<30 {
				t.Errorf("%d MiB were taken to wait", sent>>20)
			}
			alone.Close()
			e.Close()
			<-answered
			x.round()
			x.released()
		})
	}
}

// Property: a leader has so many guests and no more, keeps descriptors for the
// database, goes on with those that it has, and takes others when some have gone.
func TestGuestsTooMany(t *testing.T) {
	x := beset(t, mostOfMany)
	var all []evil
	for i := range 3 * maxOpen {
		all = append(all, x.dial(protocols[i%len(protocols)]))
	}
	x.round()
	var now holds
	x.leader.Order("")
	if x.leader.Expect(&now); now.Files > maxOpen*3/4 {
		t.Errorf("%d of %d descriptors are taken", now.Files, maxOpen)
	}
	for _, e := range all {
		e.Close()
	}
	x.released()
	db, err := party.Open(context.Background(), x.dir, &party.Options{Lead: party.LeadNever, Sockets: true})
	if err != nil {
		t.Fatal(err)
	}
	x.others = append(x.others, db)
	defer db.Close()
	x.round()
}
