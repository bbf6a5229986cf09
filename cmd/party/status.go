package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/levelparty/party"
)

func newStatus() *cobra.Command {
	var (
		db     dbFlags
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "status DIR",
		Short: "Show who has a database open, and its size",
		Long: `Status shows which process leads the database and since when, which others are
members, sharing memory with it, or guests at its sockets, and what the database
holds on disk. The command itself is not in the list.`,
		Example: examples(
			"party status ./db", "",
			"party status ./db --json", "",
			"watch -n1 party status ./db", "",
		),
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return db.with(cmd, args[0], reading, func(s *session) error {
				var st party.Status
				err := s.wait(func() (err error) {
					st, err = s.db.Status(s.ctx)
					return err
				})
				if err != nil {
					return err
				}
				hideSelf(&st)
				if asJSON {
					e := json.NewEncoder(os.Stdout)
					e.SetEscapeHTML(false)
					return e.Encode(st)
				}
				out := newOutput()
				out.buf = appendStatus(out.buf, st, time.Now())
				return out.flush()
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	db.register(cmd, false)
	return cmd
}

// hideSelf takes this process out of the list, and from the lead if it had to
// open the database itself: a person asks about the others.
func hideSelf(st *party.Status) {
	if st.Leader.PID == os.Getpid() {
		st.Leader = party.Process{}
	}
	own := func(p party.Process) bool { return p.PID == os.Getpid() }
	st.Guests = slices.DeleteFunc(st.Guests, own)
	st.Members = slices.DeleteFunc(st.Members, own)
}

func appendStatus(b []byte, st party.Status, now time.Time) []byte {
	row := func(name, format string, args ...any) {
		b = fmt.Appendf(b, "%-9s "+format+"\n", append([]any{name}, args...)...)
	}
	row("database", "%s", st.Path)
	switch {
	case st.Leader.PID != 0 || st.Role == party.Guest:
		row("leader", "%s", describe(st.Leader, now))
	case len(st.Members) > 0:
		row("leader", "none at present")
	default:
		row("leader", "none: no process has the database open")
	}
	list := func(name string, processes []party.Process) {
		for _, p := range processes {
			row(name, "%s", describe(p, now))
			name = ""
		}
	}
	list("members", slices.DeleteFunc(slices.Clone(st.Members), func(p party.Process) bool { return p.PID == st.Leader.PID }))
	list("guests", st.Guests)
	switch {
	case st.Role == party.Guest && st.Apart != "":
		row("reached", "as its guest, protocol %s: %s", st.Protocol, st.Apart)
	case st.Role == party.Guest:
		row("reached", "as its guest, protocol %s", st.Protocol)
	case st.Role == party.Member:
		row("reached", "as a member")
	}
	row("on disk", "%s", size(st.Bytes))
	for i, l := range st.Levels {
		if i == 0 {
			row("level", "%6s  %s", "tables", "size")
		}
		row(fmt.Sprintf("%5d", l.Level), "%6d  %s", l.Tables, size(l.Bytes))
	}
	return b
}

// describe shows a process: pid, program, and since when it is what it is.
func describe(p party.Process, now time.Time) string {
	s := "pid ?"
	if p.PID != 0 {
		s = fmt.Sprintf("pid %d", p.PID)
	}
	if p.Program != "" {
		s += " " + p.Program
	}
	if p.Protocol != "" {
		s += ", " + p.Protocol
	}
	if !p.Since.IsZero() {
		s += fmt.Sprintf(", since %s (%v)", p.Since.Local().Format(time.DateTime), now.Sub(p.Since).Round(time.Second))
	}
	return s
}
