package main

import (
	"bytes"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/levelparty/party"
)

func newCount() *cobra.Command {
	var (
		db      dbFlags
		formats formatFlags
		ranges  rangeFlags
		asJSON  bool
	)
	cmd := &cobra.Command{
		Use:   "count DIR",
		Short: "Count keys",
		Long: `Count prints the number of keys. LevelDB keeps no such number: every key is
visited, values are not.`,
		Example: examples(
			"party count ./db", "",
			"party count ./db --prefix user/", "",
			"party count ./db --sub users --json", `{"count":12}`,
		),
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := ranges.options(&formats)
			if err != nil {
				return err
			}
			o.NoValues = true
			return db.with(cmd, args[0], reading, func(s *session) error {
				n, err := count(s, o)
				if err != nil {
					return err
				}
				if asJSON {
					return printLine(`{"count":%d}`, n)
				}
				return printLine("%d", n)
			})
		},
	}
	ranges.register(cmd, false)
	formats.register(cmd, false)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	db.register(cmd, true)
	return cmd
}

func count(s *session, o party.IteratorOptions) (n int64, err error) {
	var counted atomic.Int64
	at := newPosition(s, o.Range)
	bar := startProgress("counting", func() (float64, string) {
		return at.fraction(), grouped(counted.Load()) + " keys"
	})
	defer bar.end()
	err = s.each(s.kv, o, func(key, _ []byte) error {
		if n++; n%1024 == 0 {
			counted.Store(n)
			at.set(key)
		}
		return nil
	})
	return n, err
}

// position estimates how much of a range lies before a key, by the sizes of
// what is on disk.
type position struct {
	s     *session
	r     party.Range
	total int64
	key   atomic.Pointer[[]byte]
}

func newPosition(s *session, r party.Range) *position {
	return &position{s: s, r: s.global(r)}
}

func (p *position) set(key []byte) {
	k := p.s.globalKey(key)
	p.key.Store(&k)
}

// fraction is a guess, or negative if there is nothing to guess from.
func (p *position) fraction() float64 {
	key := p.key.Load()
	if key == nil {
		return -1
	}
	if p.total == 0 {
		p.total, _ = p.s.db.ApproximateSize(p.s.ctx, p.r)
	}
	before := p.r
	if before.LT == nil || bytes.Compare(*key, before.LT) < 0 {
		before.LT = *key
	}
	done, err := p.s.db.ApproximateSize(p.s.ctx, before)
	if err != nil || p.total <= 0 {
		return -1
	}
	return float64(done) / float64(p.total)
}
