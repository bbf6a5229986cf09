// Command bench measures party beside other ways of using one database from
// several processes, on this machine, in one run.
//
//	cd bench && go run .
//
// measures what README.md tells of and writes results.md, results.svg and
// results.json; -quick takes less than 90 seconds and prints only; -suites,
// -peers, -workloads and -processes choose. README.md in this directory lists
// what must be installed. A peer whose programs are missing is left out, and the
// report says so.
//
// Every measured process is a process of its own, started for its measurement
// and ended with it, and none of them made the database. Peers take turns within
// each round, so that what else happens on the machine meets all of them alike;
// what is reported is the median of the rounds.
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
	"strconv"
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
	processes []int
	keys      int
	bigKeys   int
	kills     int
	killKeys  int
	survivors int
	guests    int
	starts    int
	loadBytes int64
	loadValue int
	out       string // directory of the report, empty for none
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
	b := bench{processes: []int{1, 4}, loadBytes: 10e9}
	for _, l := range []struct {
		name       string
		list       *[]string
		all, usual []string
	}{
		{"suites", &b.suites, suiteNames(), usualSuites},
		{"peers", &b.peers, peerNames(), usualPeers},
		{"workloads", &b.workloads, workloadNames(), usualWorkloads},
	} {
		*l.list = l.usual
		flag.Func(l.name, fmt.Sprintf("comma-separated, of %s; or all (default %s)", strings.Join(l.all, ","), strings.Join(l.usual, ",")),
			func(s string) error {
				if s == "all" {
					*l.list = l.all
					return nil
				}
				*l.list = strings.Split(s, ",")
				for _, item := range *l.list {
					if !slices.Contains(l.all, item) {
						return fmt.Errorf("%q is none", item)
					}
				}
				return nil
			})
	}
	flag.Func("processes", "comma-separated `numbers` of processes that share a workload (default 1,4)", func(s string) error {
		b.processes = nil
		for _, text := range strings.Split(s, ",") {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 {
				return errors.New("not a number of processes")
			}
			b.processes = append(b.processes, n)
		}
		return nil
	})
	flag.Func("load-bytes", "`size` of what suite load puts, keys and values, such as 500MB (default 10GB)", func(s string) (err error) {
		b.loadBytes, err = parseBytes(s)
		return err
	})
	flag.IntVar(&b.rounds, "rounds", 3, "`number` of rounds")
	flag.DurationVar(&b.duration, "duration", 2*time.Second, "of one measurement")
	flag.DurationVar(&b.warmup, "warmup", time.Second, "before each measurement")
	flag.IntVar(&b.keys, "keys", 100_000, "`number` of keys in the database")
	flag.IntVar(&b.bigKeys, "big-keys", 1_000_000, "`number` of keys in the database of readrandom-big and of suite memory's members")
	flag.IntVar(&b.kills, "kills", 50, "`number` of processes killed by suite kill, of each kind")
	flag.IntVar(&b.killKeys, "kill-keys", 860_000, "`number` of keys in the database of suite kill: 100 MB")
	flag.IntVar(&b.survivors, "survivors", 3, "`number` of processes beside each that is killed")
	flag.IntVar(&b.guests, "guests", 200, "`number` of idle guests of suite memory")
	flag.IntVar(&b.starts, "starts", 40, "`number` of processes of each kind that suite short starts")
	flag.IntVar(&b.loadValue, "load-value", 1000, "`bytes` of each value of suite load, 1 to 100,000")
	flag.StringVar(&b.out, "out", ".", "`directory` of results.md, results.svg and results.json; empty: they are not written")
	flag.StringVar(&b.profiles, "cpuprofile", "", "write CPU profiles of the Go processes to `directory`")
	flag.StringVar(&b.modules, "modules", filepath.Join("..", "interop", "node_modules"), "`directory` of the npm packages")
	flag.StringVar(&b.note, "note", "", "`text` to print above the results")
	quick := flag.Bool("quick", false, "measure a little of everything, for developers; other flags still choose")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if *quick {
		if err := setQuick(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(2)
		}
	}
	if b.loadValue < 1 || b.loadValue > 100_000 || b.loadBytes < int64(keySize+b.loadValue) {
		fmt.Fprintln(os.Stderr, "bench: -load-value or -load-bytes is out of range")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// quickly is what -quick sets, as if by flags, unless they are given.
var quickly = map[string]string{
	"suites":    "throughput,short,kill",
	"peers":     "party,goleveldb,lmdb,sqlite",
	"rounds":    "1",
	"duration":  "200ms",
	"warmup":    "100ms",
	"big-keys":  "200000",
	"kills":     "4",
	"kill-keys": "100000",
	"starts":    "10",
	"out":       "",
}

func setQuick() error {
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for name, value := range quickly {
		if given[name] {
			continue
		}
		if err := flag.Set(name, value); err != nil {
			return fmt.Errorf("-%s %s: %w", name, value, err)
		}
	}
	return nil
}

// parseBytes reads a size with a decimal unit.
func parseBytes(s string) (int64, error) {
	for unit, size := range map[string]int64{"KB": 1e3, "MB": 1e6, "GB": 1e9} {
		if number, ok := strings.CutSuffix(strings.ToUpper(s), unit); ok {
			n, err := strconv.ParseFloat(number, 64)
			return int64(n * float64(size)), err
		}
	}
	return strconv.ParseInt(s, 10, 64)
}

// suite is one kind of measurement, and its part of the results.
type suite struct {
	name string
	run  func(b *bench, ctx context.Context, peers []peer, r *results) error
}

var suites = []suite{
	{"throughput", (*bench).throughput},
	{"short", (*bench).short},
	{"kill", (*bench).kill},
	{"memory", (*bench).memory},
	{"load", (*bench).load},
}

// usualSuites are those that run if none are named: the load takes long.
var usualSuites = []string{"throughput", "short", "kill", "memory"}

func suiteNames() (names []string) {
	for _, s := range suites {
		names = append(names, s.name)
	}
	return names
}

func (b *bench) run(ctx context.Context) (err error) {
	if b.tmp = os.Getenv(tempVariable); !strings.HasPrefix(filepath.Base(b.tmp), "party-bench-") {
		if b.tmp, err = os.MkdirTemp("", "party-bench-"); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.tmp)) }()
	if !lmdbBuilt && slices.Contains(b.peers, lmdbPeer.name) {
		if err := os.Setenv(lmdbVariable, buildLMDB(b.tmp).Error()); err != nil {
			return err
		}
	}
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
		r.Peers = append(r.Peers, peerText{i.name, i.about, i.color, i.alone, i.cannot})
	}
	for _, s := range suites {
		if !slices.Contains(b.suites, s.name) {
			continue
		}
		if err := s.run(b, ctx, peers, r); err != nil {
			r.fault(s.name, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	// What was found is told, though something failed.
	if _, err := os.Stdout.Write(r.report()); err != nil {
		return err
	}
	if b.out != "" {
		err = r.write(b.out)
	}
	if len(r.Faults) > 0 {
		err = errors.Join(err, errors.New("not all could be measured: "+strings.Join(r.Faults, "; ")))
	}
	return err
}

// progress tells how far a run has come, where nobody reads a report from.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s "+format+"\n", append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
}
