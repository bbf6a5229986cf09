package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// interrupted is the cause of a context that a signal has ended.
type interrupted struct{ sig syscall.Signal }

func (i interrupted) Error() string { return fmt.Sprintf("stopped by %v", i.sig) }

// code is the exit status shells give to a process that died of the signal.
func (i interrupted) code() int { return 128 + int(i.sig) }

// withSignals returns a context that the first signal to stop ends, with
// interrupted as its cause. The second one ends the process at once, for calls
// that do not listen to the context, such as a write to a pipe nobody reads.
func withSignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		// A shell's background job ignores SIGINT, and nohup SIGHUP. Asking
		// for them would undo that.
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	// With a receiver for SIGPIPE, a write to a closed pipe is an error like
	// any other and the database is closed in order.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	go func() {
		for n := 0; ; n++ {
			sig, ok := (<-signals).(syscall.Signal)
			if !ok {
				continue
			}
			if n > 0 {
				restoreTerminal()
				os.Exit(interrupted{sig}.code())
			}
			cancel(interrupted{sig})
		}
	}()
	return ctx, func() { cancel(nil) }
}
