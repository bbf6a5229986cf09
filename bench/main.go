// Command bench measures party beside other ways of using one database from
// several processes, on this machine, in one run.
//
//	cd bench && go run .
//
// runs everything and writes results.md and results.svg; -suites, -peers and
// -workloads choose less. It needs node with the npm packages of ../interop
// (npm ci there) and redis-server; a peer whose programs are missing is left
// out, and the report says so.
//
// Every measured process is a process of its own, started for its measurement
// and ended with it. Peers take turns within each round, so that what else
// happens on the machine meets all of them alike; what is reported is the
// median of the rounds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bench is one run of the command.
type bench struct {
	suites    []string
	peers     []string
	workloads []string
	rounds    int
	duration  time.Duration
	warmup    time.Duration
	workers   int
	keys      int
	kills     int
	survivors int
	guests    int
	starts    int
	out       string // directory of the report
	profiles  string // directory of CPU profiles, empty for none
	modules   string // node_modules
	note      string

	self string // this program
	tmp  string // everything the run writes, but for the report
}

func main() {
	if len(os.Args) > 1 {
		if run := childRoles[os.Args[1]]; run != nil {
			if err := run(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		}
	}
	var b bench
	lists := map[string]*[]string{"suites": &b.suites, "peers": &b.peers, "workloads": &b.workloads}
	all := map[string][]string{"suites": suiteNames(), "peers": peerNames(), "workloads": workloadNames()}
	for name, list := range lists {
		*list = all[name]
		flag.Func(name, "comma-separated, of "+strings.Join(all[name], ",")+" (default all)", func(s string) error {
			*list = strings.Split(s, ",")
			for _, item := range *list {
				if !slices.Contains(all[name], item) {
					return fmt.Errorf("%q is none", item)
				}
			}
			return nil
		})
	}
	flag.IntVar(&b.rounds, "rounds", 5, "`number` of rounds")
	flag.DurationVar(&b.duration, "duration", 2*time.Second, "of one measurement")
	flag.DurationVar(&b.warmup, "warmup", time.Second, "before each measurement")
	flag.IntVar(&b.workers, "workers", 1, "`number` of processes that share a workload")
	flag.IntVar(&b.keys, "keys", 100_000, "`number` of keys in the database")
	flag.IntVar(&b.kills, "kills", 20, "`number` of leaders killed by suite failover")
	flag.IntVar(&b.survivors, "survivors", 3, "`number` of processes beside each leader killed")
	flag.IntVar(&b.guests, "guests", 200, "`number` of idle guests of suite memory")
	flag.IntVar(&b.starts, "starts", 40, "`number` of processes of each kind that suite short starts")
	flag.StringVar(&b.out, "out", ".", "`directory` of results.md, results.svg and results.json")
	flag.StringVar(&b.profiles, "cpuprofile", "", "write CPU profiles of the Go processes to `directory`")
	flag.StringVar(&b.modules, "modules", filepath.Join("..", "interop", "node_modules"), "`directory` of the npm packages")
	flag.StringVar(&b.note, "note", "", "`text` to print above the results")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// suite is one kind of measurement, and its part of the results.
type suite struct {
	name string
	run  func(b *bench, ctx context.Context, peers []peer, r *results) error
}

var suites = []suite{
	{"throughput", (*bench).throughput},
	{"failover", (*bench).failover},
	{"memory", (*bench).memory},
	{"short", (*bench).short},
}

func suiteNames() (names []string) {
	for _, s := range suites {
		names = append(names, s.name)
	}
	return names
}

func (b *bench) run(ctx context.Context) (err error) {
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.modules, err = filepath.Abs(b.modules); err != nil {
		return err
	}
	for _, dir := range []string{b.out, b.profiles} {
		if dir != "" {
			if err := os.MkdirAll(dir, 0o777); err != nil {
				return err
			}
		}
	}
	if b.tmp, err = os.MkdirTemp("", "party-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.tmp)) }()

	r := newResults(b)
	var peers []peer
	for _, p := range allPeers {
		if !slices.Contains(b.peers, p.info().name) {
			continue
		}
		if err := p.available(b); err != nil {
			fmt.Fprintf(os.Stderr, "left out: %s: %v\n", p.info().name, err)
			r.LeftOut = append(r.LeftOut, fmt.Sprintf("%s: %v", p.info().name, err))
			continue
		}
		peers = append(peers, p)
		i := p.info()
		r.Peers = append(r.Peers, peerText{i.name, i.about, i.color, i.cannot})
	}
	for _, s := range suites {
		if !slices.Contains(b.suites, s.name) {
			continue
		}
		if err := s.run(b, ctx, peers, r); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return r.write(b.out)
}

// progress tells how far a run has come, where nobody reads a report from.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s "+format+"\n", append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
}
