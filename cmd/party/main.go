// Command party works on LevelDB databases that any number of processes have
// open at the same time: it attaches to the process that leads a database, or
// opens the database itself if nobody has it open.
//
// It is a thin layer over package party. It holds no knowledge of files,
// sockets or roles; a command parses its arguments, makes one or two calls and
// prints. A file here is a command, apart from those that several commands
// share: format, output, session, exit, signals, progress.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run is main with a result, so that tests can register it as a command.
func run(args []string) int {
	ctx, stop := withSignals(context.Background())
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	return report(ctx, cmd, err)
}
