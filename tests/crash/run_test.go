//go:build unix

package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/syndtr/goleveldb/leveldb"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/dbtest"
	"github.com/levelparty/party/internal/partytest"
)

const (
	// patience bounds what should happen within a moment: the others go on, or
	// the victim comes to its step.
	patience = 20 * time.Second
	// goOn is how many batches the others write before all is well.
	goOn = 20
)

var (
	errStuck = errors.New("stuck")
	errEnded = errors.New("ended")
	// errNotHit: the process did not come to its failpoint.
	errNotHit = errors.New("it did not come to the failpoint")
)

// run is one death.
type run struct {
	t     *testing.T
	point string // name:n
	scenario
	watched bool     // the scenario and the number are from when it was watched
	env     []string // of all processes
	rnd     *rand.Rand
	dir     string
	cpp     *dumper // nil: not there
	made    int     // workers

	early  []*child // the workers of first
	living []*child // all but the victim, as far as they live

	mu     sync.Mutex
	acked  map[string]int
	seen   map[string]int // by anybody
	wrongs []string
	gap    time.Duration // until the others went on
}

// child is a worker, seen by the test.
type child struct {
	*partytest.Process
	job
	ready, leads chan struct{} // closed when it is, and does
	viewed       chan struct{}
	counted      chan struct{}
	count        map[string]int // of failpoints, guarded by run.mu
	over         chan struct{}  // closed when its reports have ended
}

func (r *run) start(j job, failpoint string) *child {
	r.t.Helper()
	r.made++
	j.Dir, j.Name = r.dir, fmt.Sprintf("w%d", r.made)
	arg, err := json.Marshal(j)
	if err != nil {
		r.t.Fatal(err)
	}
	env := r.env
	if failpoint != "" {
		env = append(slices.Clip(env), "PARTY_FAILPOINT="+failpoint)
	}
	c := &child{
		Process: partytest.StartProgram(r.t, program, env, "work", string(arg)), job: j,
		ready: make(chan struct{}), leads: make(chan struct{}), viewed: make(chan struct{}, 8), over: make(chan struct{}),
		counted: make(chan struct{}, 8),
	}
	go func() {
		defer close(c.over)
		led := false
		for {
			var m report
			if !c.Report(&m) {
				return
			}
			r.mu.Lock()
			switch m.Kind {
			case "ready":
				close(c.ready)
			case "leads":
				if !led {
					close(c.leads)
				}
				led = true
			case "ack":
				r.acked[j.Name] = m.N
			case "view":
				for name, n := range m.At {
					r.seen[name] = max(r.seen[name], n)
				}
			case "viewed":
				c.viewed <- struct{}{}
			case "hits":
				c.count = m.Hits
				c.counted <- struct{}{}
			case "error":
				r.wrongs = append(r.wrongs, m.Text)
			}
			r.mu.Unlock()
		}
	}()
	return c
}

// killed reports whether the child has died of kill -9.
func (c *child) killed() bool {
	var exit *exec.ExitError
	if err := c.Wait(); !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// until waits until what has been closed, or the child has ended.
func (c *child) until(what <-chan struct{}) error {
	select {
	case <-what:
		return nil
	case <-c.over:
		select {
		case <-what:
			return nil
		default:
		}
		return fmt.Errorf("%s ended: %v", c.Name, c.Wait())
	case <-time.After(patience):
		return fmt.Errorf("%s does not get on", c.Name)
	}
}

// die waits until the child has died by itself.
func (c *child) die() error {
	select {
	case <-c.over:
	case <-time.After(patience):
		return errNotHit
	}
	if !c.killed() {
		return fmt.Errorf("%w, and ended: %v", errNotHit, c.Wait())
	}
	return nil
}

func (r *run) acks(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.acked[name]
}

// batches waits until the child has written n batches more.
func (r *run) batches(c *child, n int) error {
	end := r.acks(c.Name) + n
	for deadline := time.Now().Add(patience); r.acks(c.Name) < end; time.Sleep(time.Millisecond) {
		select {
		case <-c.over:
			return fmt.Errorf("%s %w: %v", c.Name, errEnded, c.Wait())
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: %w: %s wrote %d batches of %d in %v", errWrong, errStuck, c.Name, n-end+r.acks(c.Name), n, patience)
		}
	}
	return nil
}

// prepare makes what is left in the directory.
func (r *run) prepare() error {
	switch r.left {
	case leftLogs:
		c := r.start(member, "")
		if err := r.batches(c, 100+r.rnd.IntN(20)); err != nil {
			return err
		}
		c.KillKeep()
		<-c.over
	case leftFull:
		// Some manifests and tables first.
		a := r.start(member, fmt.Sprintf("lsm.table.created:%d", 16+r.rnd.IntN(4)))
		if err := a.until(a.leads); err != nil {
			return err
		}
		b := r.start(never, "")
		if err := a.die(); err != nil {
			return err
		}
		for n, at := 0, time.Now(); time.Since(at) < 250*time.Millisecond; time.Sleep(5 * time.Millisecond) {
			if now := r.acks(b.Name); now != n {
				n, at = now, time.Now()
			}
		}
		b.KillKeep()
		<-b.over
	}
	return nil
}

// stage has all come in, and the victim, as what it is told to die at or not. It
// returns it when it is on its way to its step.
func (r *run) stage(failpoint string) (v *child, err error) {
	r.acked, r.seen = make(map[string]int), make(map[string]int)
	if err := r.prepare(); err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	for i, j := range r.first {
		dies := ""
		if i == 0 && r.dies != "" {
			dies, j.Idle = r.dies, true // until the victim is in, or the others would be first
		}
		c := r.start(j, dies)
		r.early, r.living = append(r.early, c), append(r.living, c)
		what := c.ready
		if i == 0 {
			what = c.leads // at once, since nobody else does
		}
		if err := c.until(what); err != nil && (i > 0 || r.dies == "" || !c.killed()) {
			return nil, err
		}
	}
	if r.kill {
		if err := r.batches(r.early[0], 60); err != nil {
			return nil, err
		}
	}
	v = r.start(r.victim, failpoint)
	select {
	case <-v.ready:
		for _, j := range r.later {
			r.living = append(r.living, r.start(j, ""))
		}
	case <-v.over:
	case <-time.After(patience):
		return nil, errors.New("the victim does not get in")
	}
	if r.kill {
		r.early[0].KillKeep()
	}
	if r.dies != "" {
		_ = r.early[0].TryOrder(orderGo) // it may have come to its failpoint without
	}
	if r.end {
		if err := r.order(v); err != nil && !(errors.Is(err, errEnded) && v.killed()) {
			return nil, fmt.Errorf("victim: %w", err)
		}
	}
	return v, nil
}

// order has the victim work for a while, and then end.
func (r *run) order(v *child) error {
	if err := r.batches(v, 300+r.rnd.IntN(50)); err != nil {
		return err
	}
	for _, c := range r.living {
		if err := c.until(c.ready); err != nil {
			return err
		}
	}
	if err := v.TryOrder(orderClose); err != nil { // nobody reads it
		<-v.over
		return fmt.Errorf("%w: %w", errEnded, err)
	}
	return nil
}

// dead waits until the one of first is dead that is to die.
func (r *run) dead() error {
	if r.dies != "" {
		if err := r.early[0].die(); err != nil {
			return err
		}
	}
	if r.kill || r.dies != "" {
		<-r.early[0].over
		r.living = slices.DeleteFunc(r.living, func(c *child) bool { return c == r.early[0] })
	}
	return nil
}

// strike ends those that live.
func (r *run) strike(err error) error {
	for _, c := range r.living {
		if errors.Is(err, errStuck) {
			_ = c.Signal(syscall.SIGQUIT) // it prints what its goroutines do
			<-c.over
		}
		c.Kill()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.wrongs[:min(len(r.wrongs), 3)] {
		err = errors.Join(err, fmt.Errorf("%w: %s", errWrong, w))
	}
	return err
}

// do carries it out. An error that wraps errWrong is a broken promise.
func (r *run) do() (err error) {
	defer func() { err = r.strike(err) }()
	v, err := r.stage(r.point)
	if err != nil {
		return err
	}
	if err := v.die(); err != nil {
		v.Kill()
		return fmt.Errorf("victim %s: %w", v.Name, err)
	}
	died := time.Now()

	// Another one goes on at once.
	if err := r.dead(); err != nil {
		return err
	}
	if len(r.living) == 0 {
		r.living = append(r.living, r.start(member, ""), r.start(member, ""))
	}
	for _, c := range r.living {
		if err := c.until(c.ready); err != nil {
			return fmt.Errorf("%w: behind the death: %w", errWrong, err)
		}
		if c.Idle {
			c.Order(orderGo)
		}
	}
	if err := r.batches(r.living[0], 1); err != nil {
		return fmt.Errorf("behind the death: %w", err)
	}
	r.gap = time.Since(died)
	for _, c := range r.living {
		if err := r.batches(c, goOn); err != nil {
			return fmt.Errorf("behind the death: %w", err)
		}
	}
	r.living[0].Order(orderView)
	if err := r.living[0].until(r.living[0].viewed); err != nil {
		return err
	}
	r.mu.Lock()
	for name, n := range r.acked {
		if r.seen[name] < n && !slices.ContainsFunc(r.living, func(c *child) bool { return c.Name == name }) {
			err = errors.Join(err, fmt.Errorf("%w: of %s %d batches were acknowledged, %d are there", errWrong, name, n, r.seen[name]))
		}
	}
	r.mu.Unlock()
	if err != nil {
		return err
	}
	if r.rnd.IntN(4) == 0 {
		alone := slices.ContainsFunc(r.living, func(c *child) bool { return c.Sockets })
		if err := check(r.dir); err != nil && !(alone && errors.Is(err, party.ErrLocked)) {
			return fmt.Errorf("live: %w", err)
		}
	}

	// All die.
	time.Sleep(time.Duration(r.rnd.IntN(20000)) * time.Microsecond)
	r.rnd.Shuffle(len(r.living), func(i, j int) { r.living[i], r.living[j] = r.living[j], r.living[i] })
	for _, c := range r.living {
		c.KillKeep()
	}
	for _, c := range r.living {
		<-c.over
	}
	return r.offline()
}

func check(dir string) error {
	if err := dbtest.Sound(dir); err != nil {
		return fmt.Errorf("%w: check: %w", errWrong, err)
	}
	return nil
}

// offline looks at what the dead have left, with three engines.
func (r *run) offline() error {
	if err := check(r.dir); err != nil {
		return err
	}
	ours, err := readOurs(copyOf(r.t, r.dir))
	if err != nil {
		return fmt.Errorf("%w: open: %w", errWrong, err)
	}
	at, err := judge(ours)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	names := maps.Clone(r.acked)
	maps.Copy(names, r.seen)
	for name := range names {
		if at[name] < max(r.acked[name], r.seen[name]) || at[name] > r.acked[name]+1 {
			return fmt.Errorf("%w: in the end %d batches of %s are there; %d were acknowledged, %d seen",
				errWrong, at[name], name, r.acked[name], r.seen[name])
		}
	}
	theirs, err := readGoleveldb(copyOf(r.t, r.dir))
	if err != nil {
		return fmt.Errorf("%w: goleveldb: %w", errWrong, err)
	}
	if !maps.Equal(ours, theirs) {
		return fmt.Errorf("%w: goleveldb reads %d entries, we %d", errWrong, len(theirs), len(ours))
	}
	if r.cpp != nil {
		if err := r.cpp.compare(copyOf(r.t, r.dir), ours); err != nil {
			return fmt.Errorf("%w: LevelDB: %w", errWrong, err)
		}
	}
	return nil
}

func readOurs(dir string) (map[string]string, error) {
	ctx := context.Background()
	db, err := party.Open(ctx, dir, &party.Options{MustExist: true, WriteBuffer: 64 << 10})
	if err != nil {
		return nil, err
	}
	m, err := all(ctx, db)
	if err = errors.Join(err, db.Close()); err == nil {
		err = check(dir)
	}
	return m, err
}

func readGoleveldb(dir string) (map[string]string, error) {
	db, err := leveldb.OpenFile(dir, nil)
	if err != nil {
		return nil, err
	}
	m := make(map[string]string)
	it := db.NewIterator(nil, nil)
	for it.Next() {
		m[string(it.Key())] = string(it.Value())
	}
	it.Release()
	return m, errors.Join(it.Error(), db.Close())
}

// copyOf copies a database, without sockets.
func copyOf(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	for _, e := range entries {
		if !e.Type().IsRegular() || e.Name() == "LOCK" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(copied, e.Name()), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return copied
}
