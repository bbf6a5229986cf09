package main

import "github.com/spf13/cobra"

func newHas() *cobra.Command {
	var (
		db      dbFlags
		formats formatFlags
		quiet   bool
	)
	cmd := &cobra.Command{
		Use:   "has DIR KEY",
		Short: "Tell whether a key exists",
		Long:  `Has prints true and ends with code 0 if KEY exists, else false and 3.`,
		Example: examples(
			"party has ./db fruit", "",
			"if party has ./db fruit -q; then ...", "for scripts",
		),
		Args: args(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := formats.parseKey(args[1])
			if err != nil {
				return err
			}
			return db.with(cmd, args[0], reading, func(s *session) error {
				var ok bool
				err := s.wait(func() (err error) {
					ok, err = s.kv.Has(s.ctx, key)
					return err
				})
				if err != nil {
					return err
				}
				if !quiet {
					if err := printLine("%v", ok); err != nil {
						return err
					}
				}
				if !ok {
					return silent(exitNotFound)
				}
				return nil
			})
		},
	}
	formats.register(cmd, false)
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing")
	db.register(cmd, true)
	return cmd
}
