package main

import "github.com/spf13/cobra"

func newKeys() *cobra.Command {
	var (
		db      dbFlags
		formats formatFlags
		ranges  rangeFlags
		asJSON  bool
	)
	cmd := &cobra.Command{
		Use:   "keys DIR",
		Short: "Print keys in order",
		Long:  `Keys prints a line for each key. Values are not read. See scan for the rest.`,
		Example: examples(
			"party keys ./db", "",
			"party keys ./db --prefix user/ --reverse", "",
			"party keys ./db | wc -l", "count does this faster",
		),
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := ranges.options(&formats)
			if err != nil {
				return err
			}
			o.NoValues = true
			return db.with(cmd, args[0], reading, func(s *session) error {
				out := newOutput()
				return out.done(s.each(s.kv, o, func(key, _ []byte) error {
					b, err := appendKey(out.buf, &formats, key, asJSON)
					if err != nil {
						return notJSON(err, "key")
					}
					out.buf = b
					return out.line()
				}))
			})
		},
	}
	ranges.register(cmd, true)
	formats.register(cmd, false)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON lines")
	db.register(cmd, true)
	return cmd
}

func appendKey(dst []byte, formats *formatFlags, key []byte, asJSON bool) ([]byte, error) {
	if !asJSON {
		return formats.key().appendField(dst, key)
	}
	dst, err := formats.key().appendMember(append(dst, '{'), "key", key)
	return append(dst, '}'), err
}
