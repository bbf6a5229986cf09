package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
)

func newCompact() *cobra.Command {
	var (
		db      dbFlags
		formats formatFlags
		ranges  rangeFlags
	)
	cmd := &cobra.Command{
		Use:   "compact DIR",
		Short: "Rewrite a range of tables to free disk space",
		Long: `Compact rewrites the tables that hold the selected keys, by default all, and
drops what has been deleted or overwritten. LevelDB does this by itself in time;
by hand it is worth while after deleting much. Other processes go on meanwhile.

--timeout is for reaching the leader. The compaction takes as long as it takes.`,
		Example: examples(
			"party compact ./db", "",
			"party compact ./db --prefix log/", "",
		),
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := ranges.parse(&formats)
			if err != nil {
				return err
			}
			return db.with(cmd, args[0], changing, func(s *session) error {
				stop := showSize(s)
				err := s.explain(s.db.CompactRange(s.ctx, s.global(r)))
				stop()
				return err
			})
		},
	}
	ranges.register(cmd, false)
	formats.register(cmd, false)
	db.register(cmd, true)
	return cmd
}

// showSize shows the size on disk while the leader works. How far it has come,
// LevelDB cannot tell.
func showSize(s *session) (stop func()) {
	ctx, cancel := context.WithCancel(s.ctx)
	var bytes atomic.Int64
	bar := startProgress("compacting", func() (float64, string) {
		// Not to be waited for: the bar must go on moving.
		go func() {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if st, err := s.db.Status(ctx); err == nil {
				bytes.Store(st.Bytes)
			}
		}()
		if n := bytes.Load(); n > 0 {
			return -1, size(n) + " on disk"
		}
		return -1, ""
	})
	return func() { cancel(); bar.end() }
}
