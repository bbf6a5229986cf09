package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/levelparty/party"
)

func newRepair() *cobra.Command {
	var (
		o      party.RepairOptions
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "repair DIR",
		Short: "Save what can be read of a damaged database",
		Long: `Repair makes a database that can be opened out of what is sound of a damaged
one, and prints what was saved and what is lost. A sound database is left alone.

Nothing is deleted: the originals of what is replaced are moved to DIR/lost.
Where the newest value of a key is lost an older one may come back, and so may
what was deleted.

No process may have the database open. Once a repair has been stopped, begin it
again.`,
		Example: examples(
			"party check ./db", "look whether it is damaged",
			"party repair ./db --dry-run", "what would be saved and lost",
			"party repair ./db", "",
		),
		Args:              args(1, 1),
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "" {
				return usagef("the directory is empty")
			}
			bar := startProgress("repairing", func() (float64, string) { return -1, "" })
			r, err := party.Repair(cmd.Context(), args[0], &o)
			bar.end()
			if err != nil {
				return explainOpen(args[0], err)
			}
			return printRepair(r, o.DryRun, asJSON)
		},
	}
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "change nothing, only print what would be saved and lost")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

func printRepair(r party.RepairReport, dry, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetEscapeHTML(false)
		return e.Encode(r)
	}
	out := newOutput()
	line := func(format string, args ...any) {
		out.buf = append(fmt.Appendf(out.buf, format, args...), '\n')
	}
	if r.Sound {
		line("sound: nothing to repair")
		return out.flush()
	}
	for _, l := range r.Lost {
		extent := ""
		switch {
		case l.Entries >= 0:
			extent = " (" + counted(l.Entries, "write") + ")"
		case l.Bytes >= 0:
			extent = " (" + size(l.Bytes) + ")"
		}
		line("lost: %s%s", l.Fault, extent)
	}
	line("saved: %s as they are, %s in part, %s; %s of %s",
		counted(r.Kept, "table"), counted(r.Salvaged, "table"), counted(r.Entries, "entry"),
		counted(r.LogRecords, "record"), counted(r.Logs, "log"))
	if !r.Levels {
		line("the manifest was of no use: all tables were put in order anew")
	}
	if r.Merged > 0 {
		line("merged: %s that contradicted each other", counted(r.Merged, "table"))
	}
	for _, name := range r.Archived {
		line("kept: %s", name)
	}
	if dry {
		line("nothing was changed")
	}
	return out.flush()
}
