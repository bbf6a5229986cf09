package main

import (
	"bytes"

	"github.com/spf13/cobra"

	"github.com/levelparty/party"
)

func newSub() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sub",
		Short: "List sublevels",
		Long: `Sublevels are parts of a database with keys of their own, those of Node's level
packages: the key "ann" of sublevel "users" is stored as "!users!ann". Commands
that read or write data work in one with --sub users, and in a sublevel of it
with --sub users/eu.`,
		Example: examples(
			"party sub list ./db", "",
			"party get ./db ann --sub users", "",
		),
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	list := newSubList()
	list.Flags().SortFlags = false
	cmd.AddCommand(list)
	return cmd
}

func newSubList() *cobra.Command {
	var (
		db        dbFlags
		recursive bool
		asJSON    bool
	)
	cmd := &cobra.Command{
		Use:   "list DIR",
		Short: "List the sublevels of a database or sublevel",
		Long: `List prints the names of the sublevels that hold at least a key. It seeks from
one to the next, so it is quick however many keys they hold.`,
		Example: examples(
			"party sub list ./db", "",
			"party sub list ./db --sub users", "the sublevels of users",
			"party sub list ./db -r", "those within others too, as a/b",
		),
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return db.with(cmd, args[0], reading, func(s *session) error {
				out := newOutput()
				return out.done(s.sublevels(s.kv, "", recursive, func(path string) error {
					if !asJSON {
						out.buf = append(out.buf, path...)
						return out.line()
					}
					full := path
					if db.sub != "" {
						full = db.sub + "/" + path
					}
					out.buf = appendJSONString(append(out.buf, `{"name":`...), path)
					out.buf = appendJSONString(append(out.buf, `,"path":`...), full)
					out.buf = append(out.buf, '}')
					return out.line()
				}))
			})
		},
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "list the sublevels of sublevels too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON lines")
	db.register(cmd, true)
	return cmd
}

// separator stands around the name of a sublevel, in Node and here.
const separator = '!'

// sublevels calls f for every sublevel of r, in order, with its name behind
// path. Keys with a ! in front that belong to no sublevel are passed over.
func (s *session) sublevels(r party.Reader, path string, recursive bool, f func(path string) error) error {
	it := r.Iterator(s.ctx, party.IteratorOptions{
		Range:    party.Range{GTE: []byte{separator}, LT: []byte{separator + 1}},
		NoValues: true,
	})
	defer it.Close()
	move := func(step func() bool) bool {
		s.patience.enter()
		defer s.patience.leave()
		return step()
	}
	for ok := move(it.First); ok; {
		name, is := sublevelName(it.Key())
		if !is {
			ok = move(it.Next)
			continue
		}
		if err := f(path + name); err != nil {
			return err
		}
		if recursive {
			sub, err := within(r, name)
			if err != nil {
				return err
			}
			if err := s.sublevels(sub, path+name+"/", true, f); err != nil {
				return err
			}
		}
		// Behind all keys that begin with !name!.
		behind := append([]byte{separator}, name...)
		behind = append(behind, separator+1)
		ok = move(func() bool { return it.Seek(behind) })
	}
	return s.explain(it.Err())
}

// within returns sublevel name of r.
func within(r party.Reader, name string) (*party.Sublevel, error) {
	return r.(interface {
		Sublevel(string, ...party.SublevelOptions) (*party.Sublevel, error)
	}).Sublevel(name)
}

// sublevelName returns the name of the sublevel that key belongs to, if it
// belongs to one.
func sublevelName(key []byte) (string, bool) {
	name, _, ok := bytes.Cut(key[1:], []byte{separator})
	if !ok {
		return "", false
	}
	for _, c := range name {
		if c <= separator+1 || c >= 0x7f {
			return "", false
		}
	}
	return string(name), true
}
