package main

import (
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/levelparty/party"
)

func newWatch() *cobra.Command {
	var (
		db      dbFlags
		formats formatFlags
		ranges  rangeFlags
		from    uint64
		limit   int
		asJSON  bool
	)
	cmd := &cobra.Command{
		Use:   "watch DIR",
		Short: "Print changes as processes make them",
		Long: `Watch prints a line for each key that any process puts or deletes, in the order
in which they do: its number, "put" or "del", the key and the value. It goes on
until it is stopped.

The numbers go on over restarts. With --from it begins with that number, if the
database still keeps the changes from there on; give the last number seen plus
one to miss nothing.

Changes cannot be watched while a Node process leads.`,
		Example: examples(
			"party watch ./db", "everything from now on",
			"party watch ./db --prefix user/ --json", "changes of a kind, for machines",
			"party watch ./db --from 4711", "everything since a number",
		),
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := ranges.options(&formats)
			if err != nil {
				return err
			}
			if limit < 0 {
				return usagef("--limit %d: want 0 or more", limit)
			}
			return db.with(cmd, args[0], changing, func(s *session) error {
				out := newOutput()
				r := s.global(o.Range)
				for c, err := range s.db.Watch(s.ctx, r, from) {
					if err != nil {
						if gap, ok := errors.AsType[*party.WatchGapError](err); ok {
							return hintf(err, "read what there is with party scan, and go on with --from %d", gap.Resync+1)
						}
						return out.done(s.explain(err))
					}
					key := c.Key
					if s.sub != nil {
						key = key[len(s.sub.Key(nil)):]
					}
					if out.buf, err = appendChange(out.buf, &formats, asJSON, key, c); err != nil {
						return err
					}
					// At once: who watches does not want to wait for more.
					if err := errors.Join(out.line(), out.flush()); err != nil {
						return err
					}
					if limit--; limit == 0 {
						break
					}
				}
				return nil
			})
		},
	}
	ranges.register(cmd, false)
	formats.register(cmd, true)
	cmd.Flags().Uint64Var(&from, "from", 0, "begin with change `NUMBER`; 0 is what comes from now on")
	cmd.Flags().IntVarP(&limit, "limit", "n", 0, "end after `N` changes")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON lines")
	db.register(cmd, true)
	return cmd
}

// appendChange appends a change as a line, without its end.
func appendChange(dst []byte, formats *formatFlags, asJSON bool, key []byte, c party.Change) ([]byte, error) {
	kind := "put"
	if c.Deleted() {
		kind = "del"
	}
	var err error
	if asJSON {
		dst = append(dst, `{"seq":`...)
		dst = strconv.AppendUint(dst, c.Seq, 10)
		dst = append(dst, `,"type":"`...)
		dst = append(append(dst, kind...), `",`...)
		if dst, err = formats.key().appendMember(dst, "key", key); err != nil {
			return dst, notJSON(err, "key")
		}
		if !c.Deleted() {
			if dst, err = formats.value().appendMember(append(dst, ','), "value", c.Value); err != nil {
				return dst, notJSON(err, "value")
			}
		}
		return append(dst, '}'), nil
	}
	dst = strconv.AppendUint(dst, c.Seq, 10)
	dst = append(append(append(dst, '\t'), kind...), '\t')
	if c.Deleted() {
		if dst, err = formats.key().appendField(dst, key); err != nil {
			return dst, notJSON(err, "key")
		}
		return dst, nil
	}
	return appendPair(dst, formats, key, c.Value)
}
