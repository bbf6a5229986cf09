package main

import "github.com/spf13/cobra"

func newGetMany() *cobra.Command {
	var (
		db      dbFlags
		formats formatFlags
		asJSON  bool
	)
	cmd := &cobra.Command{
		Use:   "getmany DIR [KEY...]",
		Short: "Print the values of several keys, of one state",
		Long: `Getmany prints a line for each KEY, in the order given: the key, a tab and the
value, or the key alone if it does not exist. All values belong to one state of
the database. Without a KEY, keys are read from standard input, one a line.

With --json a missing key is {"key":...,"missing":true}.`,
		Example: examples(
			"party getmany ./db ann bob", "",
			"party keys ./db --prefix a | party getmany ./db --json", "",
		),
		Args: args(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			keys, err := manyKeys(cmd, &formats, args[1:])
			if err != nil {
				return err
			}
			return db.with(cmd, args[0], reading, func(s *session) error {
				var values [][]byte
				err := s.wait(func() (err error) {
					values, err = s.kv.GetMany(s.ctx, keys)
					return err
				})
				if err != nil {
					return err
				}
				return printMany(&formats, keys, values, asJSON)
			})
		},
	}
	formats.register(cmd, true)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON lines")
	db.register(cmd, true)
	return cmd
}

// manyKeys returns the keys from the command line or standard input.
func manyKeys(cmd *cobra.Command, formats *formatFlags, args []string) (keys [][]byte, err error) {
	for _, arg := range args {
		key, err := formats.parseKey(arg)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(args) > 0 {
		return keys, nil
	}
	err = eachLine(stdin(cmd.Context()), func(line []byte) error {
		key, err := formats.key().parseField(line)
		keys = append(keys, append([]byte{}, key...))
		return err
	})
	return keys, err
}

func printMany(formats *formatFlags, keys, values [][]byte, asJSON bool) (err error) {
	out := newOutput()
	for i, key := range keys {
		var b []byte
		switch value := values[i]; {
		case asJSON && value == nil:
			if b, err = formats.key().appendMember([]byte{'{'}, "key", key); err != nil {
				return out.done(notJSON(err, "key"))
			}
			b = append(b, `,"missing":true}`...)
		case asJSON:
			b, err = appendEntry(nil, formats, key, value)
		case value == nil:
			b, err = formats.key().appendField(nil, key)
		default:
			b, err = appendPair(nil, formats, key, value)
		}
		if err != nil {
			return out.done(err)
		}
		out.buf = append(out.buf, b...)
		if err := out.line(); err != nil {
			return err
		}
	}
	return out.done(nil)
}
