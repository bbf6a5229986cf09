//go:build linux

package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/levelparty/party"
)

// run is what lasts from the first era to the last.
type run struct {
	seed   uint64
	rnd    *rand.Rand
	length time.Duration
	quick  bool // everything happens sooner
	node   bool // Node processes take part
	root   string
	dir    string // of the database
	state  string // of watchers
	board  *board
	start  time.Time
	ctx    context.Context // ends with the run
	stop   context.CancelFunc

	// dead is held while nobody lives, and by who looks at the database from
	// outside.
	dead sync.Mutex

	mu      sync.Mutex
	crowd   *crowd // of the era that is under way
	tally   tally
	lies    []string
	hanging bool
}

// tally counts what happened.
type tally struct {
	did                           stats
	kills, leaders, stops         int
	ends, joins, alls, elections  int
	live, refused, offline        int
	opinions, histories, doubtful int
	npm                           int
}

func newRun(t *testing.T, seed uint64, length time.Duration) *run {
	root, err := os.MkdirTemp("", "party-soak")
	if err != nil {
		t.Fatal(err)
	}
	r := &run{
		seed: seed, rnd: rand.New(rand.NewPCG(seed, 0x50ac)), length: length, quick: length < 5*time.Minute, node: haveNode(t),
		root: root, dir: filepath.Join(root, "db"), state: filepath.Join(root, "state"), start: time.Now(),
	}
	r.ctx, r.stop = context.WithTimeout(context.Background(), length)
	if err := os.Mkdir(r.state, 0o700); err != nil {
		t.Fatal(err)
	}
	if r.board, err = openBoard(filepath.Join(root, "board")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.stop()
		r.board.close()
		os.RemoveAll(root)
	})
	db, err := party.Open(context.Background(), r.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b party.Batch
	openAccounts(&b)
	fill(&b)
	if err := db.Write(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs one era after the other, and beside them what looks on.
func (r *run) run(t *testing.T) {
	var beside sync.WaitGroup
	beside.Go(func() { r.live(t) })
	m := new(meter)
	beside.Go(func() { r.measure(t, m) })
	for r.ctx.Err() == nil && !t.Failed() {
		// A test of its own, at whose end its processes are given up.
		t.Run("era", func(t *testing.T) { r.era(t) })
	}
	r.stop()
	beside.Wait()
	r.summary(t, m)
	if lies := r.told(); len(lies) > 0 {
		t.Errorf("LIE, PARTY_SEED=%d, after %v: %s", r.seed, time.Since(r.start).Round(time.Second), lies[0])
		for _, lie := range lies[1:] {
			t.Log(lie)
		}
	}
	if t.Failed() {
		kept, err := r.keep()
		t.Logf("kept in %s (%v)", kept, err)
	}
}

// lie ends the run.
func (r *run) lie(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lies) < 20 {
		r.lies = append(r.lies, fmt.Sprintf(format, args...))
	}
	r.stop()
}

// told returns the lies, the first one first.
func (r *run) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lies
}

// keep moves everything to where it stays.
func (r *run) keep() (string, error) {
	to := filepath.Join(*outFlag, fmt.Sprintf("%d-%s", r.seed, time.Now().Format("20060102-150405")))
	if err := os.MkdirAll(to, 0o700); err != nil {
		return "", err
	}
	text := fmt.Sprintf("PARTY_SEED=%d, era %d, after %v\n", r.seed, r.board.get(wordEra), time.Since(r.start))
	for _, lie := range r.told() {
		text += lie + "\n"
	}
	if err := os.WriteFile(filepath.Join(to, "lies.txt"), []byte(text), 0o600); err != nil {
		return to, err
	}
	for _, from := range []string{"db", "state"} {
		if err := copyFiles(filepath.Join(to, from), filepath.Join(r.root, from)); err != nil {
			return to, err
		}
	}
	return to, copyFile(filepath.Join(to, "board"), r.board.path)
}

func (r *run) count(fn func(t *tally)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fn(&r.tally)
}

// pick returns a time that is short if everything is to happen sooner.
func (r *run) pick(long, short time.Duration) time.Duration {
	if r.quick {
		return short
	}
	return long
}
