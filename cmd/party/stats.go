package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/levelparty/party"
)

// defaultProperties are those that tell something without being asked.
func defaultProperties() (names []string) {
	for _, name := range party.PropertyNames() {
		if !strings.Contains(name, "{") && name != "leveldb.sstables" {
			names = append(names, name)
		}
	}
	return names
}

func newStats() *cobra.Command {
	var (
		db     dbFlags
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "stats DIR [PROPERTY...]",
		Short: "Print the engine's statistics",
		Long: `Stats prints properties of the leader's engine, by default all but the lists of
tables. "leveldb." in front of a name can be left out.

  ` + strings.Join(party.PropertyNames(), "\n  "),
		Example: examples(
			"party stats ./db", "",
			"party stats ./db sstables", "the tables of every level",
			"party stats ./db num-files-at-level0", "",
		),
		Args: args(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			names := args[1:]
			if len(names) == 0 {
				names = defaultProperties()
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
					if errors.Is(err, party.ErrNotFound) {
						return hintf(fmt.Errorf("%s: no such property", name),
							"the properties are %s", strings.Join(party.PropertyNames(), ", "))
					}
					if err != nil {
						return fmt.Errorf("%s: %w", name, err)
					}
					if err := printProperty(name, value, len(names) > 1, asJSON); err != nil {
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

// printProperty prints a value, with its name if there are several.
func printProperty(name, value string, several, asJSON bool) error {
	if asJSON {
		b := appendJSONString([]byte(`{"property":`), name)
		b = appendJSONString(append(b, `,"value":`...), value)
		return printLine("%s}", b)
	}
	value = strings.TrimRight(value, "\n")
	switch {
	case several && strings.Contains(value, "\n"):
		return printLine("%s\n%s\n", name, value)
	case several:
		return printLine("%-22s %s", name, value)
	}
	return printLine("%s", value)
}
