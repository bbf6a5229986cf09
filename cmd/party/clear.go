package main

import (
	"fmt"
	"os"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/levelparty/party"
)

func newClear() *cobra.Command {
	var (
		db      dbFlags
		formats formatFlags
		ranges  rangeFlags
		all     bool
		dryRun  bool
		sync    bool
	)
	cmd := &cobra.Command{
		Use:   "clear DIR",
		Short: "Delete a range of keys",
		Long: `Clear deletes the keys that the flags select. To delete every key, say --all.

It is not atomic: keys are deleted part by part. A key that another process puts
meanwhile may be deleted or not.`,
		Example: examples(
			"party clear ./db --prefix tmp/", "",
			"party clear ./db --prefix tmp/ --dry-run", "how many keys it would delete",
			"party clear ./db --sub cache --all", "all of sublevel cache",
			"party clear ./db --lt 2020 -n 1000", "the first 1000 of a range",
		),
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := ranges.options(&formats)
			if err != nil {
				return err
			}
			switch {
			case all && ranges.selects():
				return usagef("--all and a range exclude each other")
			case !all && !ranges.selects():
				return hintf(usagef("nothing selected"), "--prefix, --gt, --gte, --lt or --lte select keys, --all every key")
			}
			if dryRun {
				return db.with(cmd, args[0], reading, func(s *session) error {
					o.NoValues = true
					n, err := count(s, o)
					if err != nil {
						return err
					}
					return printLine("%d", n)
				})
			}
			return db.with(cmd, args[0], changing, func(s *session) error {
				return clearRange(s, party.ClearOptions{
					Range: o.Range, Limit: o.Limit, Reverse: o.Reverse,
					WriteOptions: party.WriteOptions{Sync: sync},
				})
			})
		},
	}
	ranges.register(cmd, true)
	formats.register(cmd, false)
	cmd.Flags().BoolVar(&all, "all", false, "every key")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print how many keys it would delete, and delete none")
	registerSync(cmd, &sync)
	db.register(cmd, true)
	return cmd
}

// clearStep is how many keys one call of Clear deletes: enough to make the
// calls cheap, few enough for the bar to move and Ctrl-C to be heard.
const clearStep = 20_000

// clearRange deletes in steps. After a step it looks where the next key is and
// starts there, so that no step wades through what those before have deleted.
func clearRange(s *session, o party.ClearOptions) error {
	var done atomic.Int64
	at := newPosition(s, o.Range)
	bar := startProgress("clearing", func() (float64, string) {
		fraction := at.fraction()
		if o.Reverse {
			fraction = 1 - fraction
		}
		return fraction, grouped(done.Load()) + " keys"
	})
	defer bar.end()
	left := o.Limit
	err := func() error {
		for {
			step := o
			step.Limit = clearStep
			if o.Limit > 0 {
				step.Limit = min(clearStep, left)
			}
			if err := s.wait(func() error { return s.kv.Clear(s.ctx, step) }); err != nil {
				return err
			}
			done.Add(int64(step.Limit))
			if left -= step.Limit; left == 0 {
				return nil
			}
			next, err := s.first(party.IteratorOptions{Range: o.Range, Reverse: o.Reverse})
			if next == nil || err != nil {
				return err
			}
			if o.Reverse {
				o.LT, o.LTE = nil, next
			} else {
				o.GT, o.GTE = nil, next
			}
			at.set(next)
		}
	}()
	if err != nil && done.Load() > 0 {
		fmt.Fprintf(os.Stderr, "party: clear: about %d keys were deleted\n", done.Load())
	}
	return err
}

// first returns the first key that o selects, or nil.
func (s *session) first(o party.IteratorOptions) (key []byte, err error) {
	o.NoValues, o.Limit = true, 1
	err = s.each(s.kv, o, func(k, _ []byte) error {
		key = append([]byte{}, k...)
		return nil
	})
	return key, err
}
