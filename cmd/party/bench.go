package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/levelparty/party"
)

func newBench() *cobra.Command {
	var (
		db     dbFlags
		asJSON bool
	)
	b := &bench{}
	cmd := &cobra.Command{
		Use:   "bench [DIR]",
		Short: "Measure reads and writes, beside whatever is running",
		Long: `Bench runs LevelDB's workloads on a database, as one more process beside those
that have it open, or on a temporary one if there is no DIR:

  fillseq       put keys in order
  fillrandom    put keys in random order
  readrandom    get keys in random order
  readseq       scan all keys and values
  deleterandom  delete keys in random order

Its keys are in a sublevel of their own, which is cleared at the end. If it is
killed, they are left: party clear DIR --sub party-bench --all.`,
		Example: examples(
			"party bench", "",
			"party bench ./db --num 10000", "beside the processes that use ./db",
			"party bench ./db -w readrandom,readseq -t 4", "",
		),
		Args: args(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := b.check(); err != nil {
				return err
			}
			dir := ""
			if len(args) > 0 {
				dir = args[0]
			} else {
				tmp, err := os.MkdirTemp("", "party-bench-")
				if err != nil {
					return err
				}
				defer os.RemoveAll(tmp)
				dir = tmp
			}
			return db.with(cmd, dir, creating, func(s *session) error { return b.run(s, asJSON) })
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVarP(&b.workloads, "workloads", "w", workloadNames, "what to run, in order")
	flags.IntVarP(&b.num, "num", "n", 100_000, "`NUMBER` of operations of a workload")
	flags.IntVar(&b.valueSize, "value-size", 100, "`BYTES` of a value")
	flags.IntVarP(&b.threads, "threads", "t", 1, "`NUMBER` of goroutines that share the operations")
	flags.Uint64Var(&b.seed, "seed", 301, "of the random order")
	registerSync(cmd, &b.sync)
	flags.BoolVar(&asJSON, "json", false, "print JSON lines")
	db.register(cmd, false)
	return cmd
}

func (b *bench) check() error {
	for _, name := range b.workloads {
		if workloads[name] == nil {
			return hintf(usagef("unknown workload %q", name), "the workloads are %s", strings.Join(workloadNames, ", "))
		}
	}
	switch {
	case b.num < 1:
		return usagef("--num %d: want 1 or more", b.num)
	case b.valueSize < 0:
		return usagef("--value-size %d: want 0 or more", b.valueSize)
	case b.threads < 1 || b.threads > 1024:
		return usagef("--threads %d: want 1 to 1024", b.threads)
	}
	return nil
}

func (b *bench) run(s *session, asJSON bool) (err error) {
	// A sublevel for each process: several can run at once.
	if err := s.descend(fmt.Sprintf("party-bench/%d", os.Getpid())); err != nil {
		return err
	}
	clean := func() error {
		// Also after Ctrl-C: what the command has put, it takes away.
		return s.kv.Clear(context.WithoutCancel(s.ctx), party.ClearOptions{})
	}
	defer func() {
		if e := clean(); err == nil {
			err = e
		}
	}()
	if !asJSON {
		printLine("%s keys of %d bytes, values of %d bytes, %d thread(s), as %s", grouped(b.num), benchKeySize, b.valueSize, b.threads, s.db.Role())
		printLine("%-13s %10s %12s %10s %9s %9s %9s", "", "per op", "ops/s", "MB/s", "p50", "p99", "max")
	}
	b.values = newBenchValues(b.seed, b.valueSize)
	filled := false
	for _, name := range b.workloads {
		fills := strings.HasPrefix(name, "fill")
		if fills && filled {
			if err := s.wait(clean); err != nil {
				return err
			}
		}
		if !fills && !filled {
			// There is nothing to read or delete yet.
			if _, err := b.measure(s, "fillseq"); err != nil {
				return err
			}
		}
		filled = true
		r, err := b.measure(s, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := r.print(name, asJSON); err != nil {
			return err
		}
	}
	return nil
}
