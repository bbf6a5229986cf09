package leader

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/levelparty/party/internal/failpoint"
	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/store"
	"github.com/levelparty/party/internal/vfs"
)

// A guest that lost its leader sends the writes that were not acknowledged
// again, to the next one. The first copy may have been applied, and other
// processes may have written since: applying the second would undo their
// writes. So a leader keeps a record of whose writes it has applied, in a file
// that the next leader reads.
//
// The record says of every write of a guest, before it is applied, which
// sequence number it will have been given (an intent). Whether it was then
// applied shows in the database itself: it was if the database has got that
// far. The next leader settles all intents into facts before it opens the
// database, that is before any sequence number can be given a second time.
//
// An intent means something only as long as no other program has written to
// the database; every program that opens one makes a new manifest, so the
// record names those manifests that this leader has worked with, or was about
// to. If a Node process led in between, the intents are void, and a write that
// is sent again is applied again: the npm protocols carry nothing that would
// tell.
//
// The record is read by processes of the same boot only, since the death of
// the machine is the death of all guests: it is never synced.
//
// The file is a list of entries of 48 bytes, little endian; an entry with a
// wrong checksum ends the list:
//
//	offset size
//	0      4    CRC-32C of bytes 4 to 47
//	4      1    kind
//	5      3    d
//	8      16   client
//	24     8    a
//	32     8    b
//	40     8    c
//
//	kind   client  a                  b                        c      d
//	1      zero    number of a manifest that the leader works with
//	2      yes     id of the write    last sequence number     count  id - floor
//	3      yes     id of the write    zero                     count
//	4      yes     floor              last seen, Unix seconds
//
// 1 is a base, 2 an intent, 3 a fact, 4 a client. count is what a Clear
// deleted. By the floor the next leader knows which of the facts to forget: it
// has to be quick.
const onceName = "party.once"

const (
	entrySize   = 48
	entryBase   = 1
	entryIntent = 2
	entryFact   = 3
	entryClient = 4
)

const (
	// maxOnceFile is when the file is written anew without what is no longer
	// needed, unless little of it was written since the last time.
	maxOnceFile = 1 << 20
	// forgetAfter is how long a client is remembered that is not heard of.
	forgetAfter = 10 * time.Minute
	// maxClients bounds the clients that are remembered; of more, those not
	// heard of for longest are forgotten.
	maxClients = 4096
	// maxFacts bounds the applied writes that are remembered, of all clients; of
	// more, the client not heard of for longest is forgotten.
	maxFacts = 2 << 20
	// maxOnceRead bounds what is read of a file: facts, as many intents, clients.
	maxOnceRead = (2*maxFacts + maxClients + 1) * entrySize
	// MaxWindow is how many ids a client may have above its floor. Less than
	// 1<<24, for the record.
	MaxWindow = 1 << 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// once is the record. Its methods are called by one goroutine at a time, but
// for follow.
type once struct {
	dir     string
	mu      sync.Mutex // guards the file
	f       *os.File
	size    int64
	facts   int64  // of size, what the last rewrite wrote
	base    uint64 // the manifest last told of
	clients map[store.ClientID]*onceClient
	count   int // of the applied writes of all clients
	buf     []byte
}

type onceClient struct {
	floor   uint64
	seen    time.Time
	applied map[uint64]int64 // id to count
}

// openOnce reads the record of the leader before, settles its intents, and
// begins a new one. last is the sequence number up to which that leader's writes
// were applied; no other may have been given since. manifest is the one that
// CURRENT names.
func openOnce(dir string, last format.SeqNum, manifest format.FileNum) (_ *once, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("record of applied writes: %w", err)
		}
	}()
	o := &once{dir: dir, clients: make(map[store.ClientID]*onceClient)}
	intents, err := o.load(uint64(manifest))
	if err != nil {
		return nil, err
	}
	for _, in := range intents {
		if in.seq <= uint64(last) {
			o.note(in.client, in.id, in.count)
		}
	}
	o.base = uint64(manifest)
	if err := o.rewrite(); err != nil {
		return nil, err
	}
	return o, nil
}

type intent struct {
	client  store.ClientID
	id, seq uint64
	count   int64
}

// load reads the file and returns the intents that still mean something.
func (o *once) load(current uint64) ([]intent, error) {
	b, err := recordAt(filepath.Join(o.dir, onceName))
	if err != nil {
		return nil, err
	}
	var intents []intent
	ours := false // current is a manifest of that leader
	for ; len(b) >= entrySize; b = b[entrySize:] {
		e := b[:entrySize]
		if binary.LittleEndian.Uint32(e) != crc32.Checksum(e[4:], castagnoli) {
			break
		}
		var client store.ClientID
		copy(client[:], e[8:])
		a, s, c := binary.LittleEndian.Uint64(e[24:]), binary.LittleEndian.Uint64(e[32:]), binary.LittleEndian.Uint64(e[40:])
		d := uint64(binary.LittleEndian.Uint32(e[4:]) >> 8)
		switch e[4] {
		case entryBase:
			ours = ours || a == current
		case entryIntent:
			k := o.client(client)
			k.floor = max(k.floor, a-min(a, d))
			intents = append(intents, intent{client, a, s, int64(c)})
		case entryFact:
			o.note(client, a, int64(c))
		case entryClient:
			k := o.client(client)
			k.floor, k.seen = max(k.floor, a), time.Unix(int64(s), 0)
		}
	}
	for _, k := range o.clients {
		o.count -= len(k.applied)
		maps.DeleteFunc(k.applied, func(id uint64, _ int64) bool { return id < k.floor })
		o.count += len(k.applied)
	}
	if !ours {
		return nil, nil
	}
	return intents, nil
}

// recordAt returns what the record at path holds: no link's, for the file will be
// written to, and no more of it than a record can have.
func recordAt(path string) ([]byte, error) {
	f, err := vfs.OpenRegular(path, false)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxOnceRead))
}

func (o *once) client(id store.ClientID) *onceClient {
	k := o.clients[id]
	if k == nil {
		k = &onceClient{applied: make(map[uint64]int64), seen: time.Now()}
		o.clients[id] = k
	}
	return k
}

func (o *once) note(client store.ClientID, id uint64, count int64) {
	k := o.client(client)
	if id < k.floor {
		return
	}
	o.count -= len(k.applied)
	k.applied[id] = count
	o.count += len(k.applied)
	if o.count > maxFacts {
		o.forget(len(o.clients))
	}
}

// drop forgets a client.
func (o *once) drop(id store.ClientID) {
	if k := o.clients[id]; k != nil {
		o.count -= len(k.applied)
		delete(o.clients, id)
	}
}

// applied reports whether w was applied before, and what a Clear deleted then.
// It drops what the client's floor says will not be asked for again.
func (o *once) applied(w store.Identity) (count int64, ok bool, err error) {
	k := o.clients[w.Client]
	if k == nil {
		if len(o.clients) >= maxClients {
			o.forget(maxClients)
		}
		k = o.client(w.Client)
	}
	if w.Floor > w.ID || w.ID-w.Floor > MaxWindow {
		return 0, false, fmt.Errorf("request %d with floor %d: %w", w.ID, w.Floor, store.ErrInvalid)
	}
	if w.ID < k.floor {
		// The client promised not to send it again.
		return 0, false, fmt.Errorf("request %d below the floor %d: %w", w.ID, k.floor, store.ErrInvalid)
	}
	if w.Floor > k.floor {
		o.count -= len(k.applied)
		if w.Floor-k.floor < uint64(len(k.applied)) {
			for id := k.floor; id < w.Floor; id++ {
				delete(k.applied, id)
			}
		} else {
			for id := range k.applied {
				if id < w.Floor {
					delete(k.applied, id)
				}
			}
		}
		o.count += len(k.applied)
		k.floor = w.Floor
	}
	k.seen = time.Now()
	count, ok = k.applied[w.ID]
	return count, ok, nil
}

// forget drops the clients that have not been heard of for long, or, if there
// are none, the one heard of least recently, so that fewer than limit are left.
func (o *once) forget(limit int) {
	var oldest store.ClientID
	var at time.Time
	for id, k := range o.clients {
		if time.Since(k.seen) > forgetAfter {
			o.drop(id)
		} else if at.IsZero() || k.seen.Before(at) {
			oldest, at = id, k.seen
		}
	}
	if len(o.clients) >= limit {
		o.drop(oldest)
	}
}

// follow tells the record of a manifest that the database is about to have.
func (o *once) follow(manifest format.FileNum) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.base == uint64(manifest) {
		return nil
	}
	o.base = uint64(manifest)
	return o.write(appendEntry(nil, entryBase, store.ClientID{}, o.base, 0, 0))
}

// full reports whether the file should be written anew.
func (o *once) full() bool { return o.size > max(maxOnceFile, 2*o.facts) }

// append writes the entries gathered in o.buf.
func (o *once) append() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	failpoint.Hit("leader.intent.before")
	return o.write(o.buf)
}

// write REQUIRES o.mu.
func (o *once) write(b []byte) error {
	if o.f == nil {
		return store.ErrClosed
	}
	failpoint.Torn("leader.intent.torn", o.f, b, o.size)
	n, err := o.f.WriteAt(b, o.size)
	failpoint.Hit("leader.intent.written")
	if err != nil {
		return err
	}
	o.size += int64(n)
	return nil
}

// rewrite replaces the file by one that holds the facts alone. Intents not yet
// settled must not exist.
func (o *once) rewrite() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	buf := appendEntry(nil, entryBase, store.ClientID{}, o.base, 0, 0)
	for id, k := range o.clients {
		if time.Since(k.seen) > forgetAfter {
			o.drop(id)
			continue
		}
		buf = appendEntry(buf, entryClient, id, k.floor, uint64(k.seen.Unix()), 0)
		for w, count := range k.applied {
			buf = appendEntry(buf, entryFact, id, w, 0, uint64(count))
		}
	}
	path := filepath.Join(o.dir, onceName)
	if err := writeNew(path+".tmp", buf); err != nil {
		return err
	}
	failpoint.Hit("leader.once.written")
	if o.f != nil {
		o.f.Close() // Windows renames onto no open file
		o.f = nil
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	failpoint.Hit("leader.once.renamed")
	f, err := vfs.OpenRegular(path, false)
	if err != nil {
		return err
	}
	o.f, o.size, o.facts = f, int64(len(buf)), int64(len(buf))
	return nil
}

// writeNew writes a file that only its owner may read. What was there by that
// name is not written to.
func writeNew(path string, b []byte) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := vfs.OpenRegular(path, true)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

func appendIntent(dst []byte, w store.Identity, seq, count uint64) []byte {
	return appendEntryD(dst, entryIntent, w.Client, w.ID, seq, count, w.ID-w.Floor)
}

func appendEntry(dst []byte, kind byte, client store.ClientID, a, b, c uint64) []byte {
	return appendEntryD(dst, kind, client, a, b, c, 0)
}

func appendEntryD(dst []byte, kind byte, client store.ClientID, a, b, c, d uint64) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, kind, byte(d), byte(d>>8), byte(d>>16))
	dst = append(dst, client[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, a)
	dst = binary.LittleEndian.AppendUint64(dst, b)
	dst = binary.LittleEndian.AppendUint64(dst, c)
	binary.LittleEndian.PutUint32(dst[at:], crc32.Checksum(dst[at+4:], castagnoli))
	return dst
}

// close ends the record. If no guest may still ask, the file goes too.
func (o *once) close() error { return o.end(len(o.clients) == 0) }

// end is close; settled says that no guest may still ask.
func (o *once) end(settled bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var err error
	if o.f != nil {
		err = o.f.Close()
		o.f = nil
	}
	if settled {
		err = errors.Join(err, os.Remove(filepath.Join(o.dir, onceName)))
		failpoint.Hit("leader.once.removed")
	}
	return err
}
