package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/levelparty/party"
)

func newCheck() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check DIR",
		Short: "Look whether a database is damaged",
		Long: `Check reads the whole database and prints what is wrong with it: checksums, the
order of keys, what the files say of each other. It changes nothing. Processes
that have the database open go on meanwhile; their memory is checked, too.

It ends with 0 if the database is sound and with 1 if it is damaged. Notes are
no damage. They tell of what a killed process left, and of foreign files.`,
		Example: examples(
			"party check ./db", "",
			"party check ./db --json", "",
		),
		Args:              args(1, 1),
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "" {
				return usagef("the directory is empty")
			}
			bar := startProgress("checking", func() (float64, string) { return -1, "" })
			r, err := party.Check(cmd.Context(), args[0])
			bar.end()
			if err != nil {
				return explainOpen(args[0], err)
			}
			if err := printCheck(r, asJSON); err != nil {
				return err
			}
			if len(r.Problems) > 0 {
				if !asJSON {
					fmt.Fprintln(os.Stderr, `hint: "party repair" saves what can be read; --dry-run tells what that is`)
				}
				return silent(exitFailure)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

func printCheck(r party.CheckReport, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetEscapeHTML(false)
		return e.Encode(r)
	}
	out := newOutput()
	line := func(format string, args ...any) error {
		out.buf = fmt.Appendf(out.buf, format, args...)
		return out.line()
	}
	for _, p := range r.Problems {
		if err := line("%s", p); err != nil {
			return err
		}
	}
	for _, n := range r.Notes {
		if err := line("note: %s", n); err != nil {
			return err
		}
	}
	verdict := "sound"
	if n := len(r.Problems); n > 0 {
		verdict = "damaged, " + counted(n, "problem")
	}
	return out.done(line("%s: %s, %s, %s; %s, %s; %s", verdict,
		counted(r.Tables, "table"), counted(r.Blocks, "block"), counted(r.Entries, "entry"),
		counted(r.Logs, "log"), counted(r.Records, "record"), size(r.Bytes)))
}

// counted shows n things.
func counted[T int | int64](n T, thing string) string {
	if n != 1 {
		if stem, ok := strings.CutSuffix(thing, "y"); ok {
			thing = stem + "ies"
		} else {
			thing += "s"
		}
	}
	return grouped(n) + " " + thing
}
