package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/levelparty/party"
)

func newPut() *cobra.Command {
	var (
		db      dbFlags
		formats formatFlags
		sync    bool
	)
	cmd := &cobra.Command{
		Use:   "put DIR KEY [VALUE]",
		Short: "Set the value of a key",
		Long: `Put sets KEY to VALUE, or to all of standard input if there is no VALUE. The
database is created if it does not exist.

Standard input is taken as it is: "echo hi | party put" stores a newline too,
"printf hi | party put" does not.`,
		Example: examples(
			"party put ./db fruit apple", "",
			"party put ./db photo < photo.jpg", "the value from a file",
			`party put ./db ann '{"age":7}' -v json`, "checked, and stored in compact form",
			"party put ./db balance 12 --sync", "survives a loss of power",
			"party put -- ./db temp -5", "a value that begins with a dash",
		),
		Args: args(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := formats.parseKey(args[1])
			if err != nil {
				return err
			}
			value, err := putValue(cmd, &formats, args[2:])
			if err != nil {
				return err
			}
			return db.with(cmd, args[0], creating, func(s *session) error {
				return s.wait(func() error {
					return s.kv.Put(s.ctx, key, value, party.WriteOptions{Sync: sync})
				})
			})
		},
	}
	formats.register(cmd, true)
	registerSync(cmd, &sync)
	db.register(cmd, true)
	return cmd
}

func registerSync(cmd *cobra.Command, sync *bool) {
	cmd.Flags().BoolVar(sync, "sync", false, "make it durable before returning")
}

// putValue returns the value from the command line or standard input.
func putValue(cmd *cobra.Command, formats *formatFlags, args []string) ([]byte, error) {
	if len(args) > 0 {
		value, err := formats.value().parse([]byte(args[0]))
		if err != nil {
			return nil, usagef("value: %w", err)
		}
		return value, nil
	}
	if isTerminal(os.Stdin) {
		fmt.Fprintln(os.Stderr, "party: put: type the value, end it with Ctrl-D on a line of its own")
	}
	value, err := io.ReadAll(stdin(cmd.Context()))
	if err != nil {
		return nil, err
	}
	if value, err = formats.value().parse(value); err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	return value, nil
}
