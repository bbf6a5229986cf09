package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const rootLong = `party reads and writes LevelDB databases that other processes have open.

If a process leads the database, a Go program that uses package party or a Node
program that uses rave-level or level-party, the command is its guest and the
program does not notice. If nobody has the database open, the command opens it
itself. Nothing has to be stopped, started or configured.

Commands that read never change a byte on disk, and never create a database.

"party demo" shows the idea in 20 seconds, on a database of its own.`

// newRoot builds the whole command tree. It runs at every start, so it must
// stay cheap: no files, no network, nothing compiled or parsed.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "party",
		Short: "Share LevelDB databases between processes",
		Long:  rootLong,
		Example: `  party put ./db fruit apple           create a database and a key
  party get ./db fruit                 apple
  party scan ./db --prefix user/       all keys and values that begin with user/
  party status ./db                    who has the database open`,
		SilenceErrors: true, // report prints them
		SilenceUsage:  true,
		// Cobra's own suggestions are part of the error text; unknownCommand
		// makes a hint of them.
		DisableSuggestions: true,
		Args:               unknownCommand,
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SetOut(os.Stderr)
			cmd.Help()
			return silent(exitUsage)
		},
	}
	root.DisableFlagsInUseLine = true
	cobra.EnableCommandSorting = false
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().SortFlags = false
	root.AddGroup(
		&cobra.Group{ID: "data", Title: "Data:"},
		&cobra.Group{ID: "share", Title: "Sharing and upkeep:"},
		&cobra.Group{ID: "more", Title: "More:"},
	)
	root.SetHelpCommandGroupID("more")
	root.SetCompletionCommandGroupID("more")
	for _, c := range []struct {
		group    string
		commands []*cobra.Command
	}{
		{"data", []*cobra.Command{
			newGet(), newPut(), newDel(), newHas(), newGetMany(), newBatch(),
			newScan(), newKeys(), newCount(), newClear(), newSub(), newWatch(),
		}},
		{"share", []*cobra.Command{newStatus(), newStats(), newHost(), newCompact(), newCheck(), newRepair(), newBench()}},
		{"more", []*cobra.Command{newDemo(), newDemoWorker(), newVersion()}},
	} {
		for _, cmd := range c.commands {
			cmd.GroupID = c.group
			cmd.Flags().SortFlags = false
			root.AddCommand(cmd)
		}
	}
	root.AddCommand(newFormatsTopic(), newExitCodesTopic())
	return root
}

// unknownCommand refuses what is no command, and names those it resembles.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := usagef("unknown command %q", args[0])
	cmd.SuggestionsMinimumDistance = 2
	if names := cmd.SuggestionsFor(args[0]); len(names) > 0 {
		return hintf(err, `did you mean "%s"?`, cmd.CommandPath()+" "+strings.Join(names, `" or "`+cmd.CommandPath()+" "))
	}
	return hintf(err, `"%s --help" lists the commands`, cmd.CommandPath())
}

// flagError makes usage errors of what cobra finds wrong with flags.
func flagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, errUnknownFormat) {
		// The flag package's own words only repeat the flag.
		return usageError{hintf(err, "the formats are text, hex, base64 and json")}
	}
	if strings.HasPrefix(err.Error(), "unknown") {
		return usageError{hintf(err, `write -- before keys and values that begin with a dash: party %s -- DIR ...`, cmd.Name())}
	}
	return usageError{err}
}

// args accepts between min and max arguments, named in order by the words
// after the command's name in its Use line; max < 0 is any number.
func args(min, max int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		_, names, _ := strings.Cut(cmd.Use, " ")
		switch {
		case len(args) < min:
			return usagef("%s missing", strings.Fields(names)[len(args)])
		case max >= 0 && len(args) > max:
			return hintf(usagef("too many arguments: %s", strings.Join(quoteAll(args[max:]), " ")),
				"quote a key or value that contains spaces")
		}
		return nil
	}
}

func quoteAll(words []string) []string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	return quoted
}

// completeDir completes the first argument as a directory and leaves the
// others, keys and values, alone.
func completeDir(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// examples writes the lines of a command's examples: what to type, and what it
// does, in two columns.
func examples(pairs ...string) string {
	width := 0
	for i := 0; i < len(pairs); i += 2 {
		width = max(width, len(pairs[i]))
	}
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(strings.TrimRight(fmt.Sprintf("  %-*s  %s", width, pairs[i], pairs[i+1]), " "))
	}
	return b.String()
}

// defaultTimeout is long enough for any election, and short enough for a
// person not to give up first.
const defaultTimeout = 10 * time.Second
