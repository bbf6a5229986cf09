package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

// demoOptions are the flags of demo.
type demoOptions struct {
	duration time.Duration
	writers  int
	kills    int
	keep     bool
	seed     uint64
}

func newDemo() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch processes share a database while their leaders are killed",
		Long: `Demo starts processes that all open one temporary LevelDB directory with
party.Open, and nothing else: writers that put JSON records, and a reader that
gets what the writers have just been told is stored.

It then kills the process that leads, with kill -9, again and again, and starts
it anew. It shows who leads, how many operations succeed, and how long the other
processes had to wait at each death. At the end it opens the directory itself
and looks for every write that was acknowledged.

The code is 0 if all are there, no read was older than an acknowledged write,
and no call failed.`,
		Example: examples(
			"party demo", "20 seconds, 5 kills",
			"party demo --duration 1m --kills 30 --writers 8", "",
			"party demo | cat", "plain lines",
			"party demo --keep", "leave the database to look at",
		),
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if !cmd.Flags().Changed("seed") {
				o.seed = rand.Uint64() % 1e6
			}
			return runDemo(cmd, o)
		},
	}
	flags := cmd.Flags()
	flags.DurationVar(&o.duration, "duration", 20*time.Second, "how long the processes work")
	flags.IntVar(&o.writers, "writers", 4, "`NUMBER` of writing processes")
	flags.IntVar(&o.kills, "kills", 5, "`NUMBER` of times the leader is killed")
	flags.BoolVar(&o.keep, "keep", false, "keep the directory")
	flags.Uint64Var(&o.seed, "seed", 0, "of the moments of the kills; by default another each time")
	return cmd
}

// demoMinSpacing is the least time between kills: enough for an election, a
// restart, and a person to see them.
const demoMinSpacing = 300 * time.Millisecond

func (o *demoOptions) check() error {
	switch {
	case o.writers < 1 || o.writers > 64:
		return usagef("--writers %d: want 1 to 64", o.writers)
	case o.kills < 0:
		return usagef("--kills %d: want 0 or more", o.kills)
	case o.duration < time.Second:
		return usagef("--duration %v: want 1s or more", o.duration)
	case o.spacing() < demoMinSpacing:
		return usagef("--kills %d: too many for %v", o.kills, o.duration)
	}
	return nil
}

// spacing is the mean time between kills.
func (o *demoOptions) spacing() time.Duration {
	return o.duration / time.Duration(o.kills+1)
}

// runDemo makes the directory, runs the demo in it, and removes it unless it
// is wanted.
func runDemo(cmd *cobra.Command, o demoOptions) (err error) {
	dir, err := os.MkdirTemp("", "party-demo-")
	if err != nil {
		return err
	}
	keep := o.keep
	defer func() {
		if !keep {
			os.RemoveAll(dir)
		}
	}()
	d := &demo{
		o:      o,
		dir:    filepath.Join(dir, "db"),
		events: make(chan demoEvent, 64),
		rnd:    rand.New(rand.NewPCG(o.seed, 0)),
	}
	if err := d.prepare(dir); err != nil {
		return err
	}
	d.view = newDemoView(d)
	ran := d.run(cmd.Context())
	d.view.end()
	if ran != nil {
		return ran
	}
	result, err := d.verify(cmd.Context())
	if err != nil {
		return fmt.Errorf("reopening the directory: %w", err)
	}
	d.printSummary(os.Stdout, result)
	if !result.good(d) {
		keep = true // evidence
	}
	if keep {
		fmt.Printf("\nThe database is in %s\n", d.dir)
	}
	if !result.good(d) {
		return silent(exitFailure)
	}
	return nil
}
