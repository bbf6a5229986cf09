package main

import (
	"github.com/spf13/cobra"

	"github.com/levelparty/party"
)

func newDel() *cobra.Command {
	var (
		db      dbFlags
		formats formatFlags
		sync    bool
	)
	cmd := &cobra.Command{
		Use:   "del DIR KEY...",
		Short: "Delete keys",
		Long: `Del deletes the keys, all of them at once or none. A key that does not exist
is no error.`,
		Example: examples(
			"party del ./db fruit", "",
			"party del ./db a b c", "atomically",
			"party clear ./db --prefix tmp/", "see clear for ranges",
		),
		Args: args(2, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var batch party.Batch
			for _, arg := range args[1:] {
				key, err := formats.parseKey(arg)
				if err != nil {
					return err
				}
				batch.Delete(key)
			}
			return db.with(cmd, args[0], changing, func(s *session) error {
				return s.wait(func() error {
					return s.kv.Write(s.ctx, &batch, party.WriteOptions{Sync: sync})
				})
			})
		},
	}
	formats.register(cmd, false)
	registerSync(cmd, &sync)
	db.register(cmd, true)
	return cmd
}
