package main

import (
	"github.com/spf13/cobra"
)

func newScan() *cobra.Command {
	var (
		db      dbFlags
		formats formatFlags
		ranges  rangeFlags
		asJSON  bool
	)
	cmd := &cobra.Command{
		Use:   "scan DIR",
		Short: "Print keys and values in key order",
		Long: `Scan prints a line for each entry: the key, a tab and the value. It prints as
it reads, so it works on databases of any size.

All entries belong to one state of the database. Only if the leading process is
lost meanwhile, the scan goes on behind the last entry in the next leader's.

Tabs, newlines and bytes that are not text are escaped; see "party help formats".`,
		Example: examples(
			"party scan ./db", "everything",
			"party scan ./db --prefix user/ -n 10", "the first ten of a kind",
			"party scan ./db --reverse --limit 1", "the last entry",
			"party scan ./db --gte 2024 --lt 2025 --json", "a range, for machines",
			"party scan ./old --json | party batch ./new", "copy a database",
		),
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := ranges.options(&formats)
			if err != nil {
				return err
			}
			return db.with(cmd, args[0], reading, func(s *session) error {
				out := newOutput()
				write := appendPair
				if asJSON {
					write = appendEntry
				}
				return out.done(s.each(s.kv, o, func(key, value []byte) error {
					// What is appended stays out of the buffer until it is whole.
					b, err := write(out.buf, &formats, key, value)
					if err != nil {
						return err
					}
					out.buf = b
					return out.line()
				}))
			})
		},
	}
	ranges.register(cmd, true)
	formats.register(cmd, true)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON lines")
	db.register(cmd, true)
	return cmd
}

// appendPair appends an entry as a line of text: key, tab, value.
func appendPair(dst []byte, formats *formatFlags, key, value []byte) ([]byte, error) {
	dst, err := formats.key().appendField(dst, key)
	if err != nil {
		return dst, notJSON(err, "key")
	}
	if dst, err = formats.value().appendField(append(dst, '\t'), value); err != nil {
		return dst, notJSON(err, "value")
	}
	return dst, nil
}
