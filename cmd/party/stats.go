package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// statsProperties are printed by default, in this order.
var statsProperties = []string{"leveldb.stats"}

func newStats() *cobra.Command {
	var (
		db     dbFlags
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "stats DIR [PROPERTY...]",
		Short: "Print the engine's statistics",
		Long: `Stats prints properties of the leader's engine, by default leveldb.stats. The
others have the names they have in every LevelDB, such as leveldb.sstables and
leveldb.num-files-at-level0.`,
		Example: examples(
			"party stats ./db", "",
			"party stats ./db leveldb.sstables", "the tables of every level",
		),
		Args: args(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			names := args[1:]
			if len(names) == 0 {
				names = statsProperties
			}
			return db.with(cmd, args[0], reading, func(s *session) error {
				for _, name := range names {
					if !strings.Contains(name, ".") {
						name = "leveldb." + name
					}
					var value string
					err := s.wait(func() (err error) {
						value, err = s.db.Property(s.ctx, name)
						return err
					})
					if err != nil {
						return fmt.Errorf("%s: %w", name, err)
					}
					if err := printProperty(name, value, asJSON); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON lines")
	db.register(cmd, false)
	return cmd
}

func printProperty(name, value string, asJSON bool) error {
	if !asJSON {
		return printLine("%s", strings.TrimRight(value, "\n"))
	}
	b := appendJSONString([]byte(`{"property":`), name)
	b = appendJSONString(append(b, `,"value":`...), value)
	return printLine("%s}", b)
}
