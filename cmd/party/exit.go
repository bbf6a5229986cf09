package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/levelparty/party"
)

// The exit codes. They are documented in "party help exit-codes" and scripts
// rely on them: never change one.
const (
	exitOK       = 0
	exitFailure  = 1
	exitUsage    = 2
	exitNotFound = 3
	exitLocked   = 4
	exitTimeout  = 5
	exitPipe     = 128 + 13 // what a shell reports of a process that died of SIGPIPE
)

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// timeoutError is the end of patience: --timeout passed without an answer.
type timeoutError struct {
	limit time.Duration
	err   error // the call's, if there was one: it tells what it waited for
}

func (e timeoutError) Error() string {
	if e.err == nil || e.err == context.Canceled {
		return fmt.Sprintf("no answer within %v", e.limit)
	}
	return strings.TrimSuffix(e.err.Error(), ": "+context.Canceled.Error())
}

func (e timeoutError) Unwrap() error { return e.err }

// hinted is an error together with what to do about it.
type hinted struct {
	error
	hint string
}

func (e hinted) Unwrap() error { return e.error }

func hintf(err error, format string, args ...any) error {
	return hinted{err, fmt.Sprintf(format, args...)}
}

// silent is an exit code without a message: the answer is the code, or has
// been printed.
type silent int

func (s silent) Error() string { return fmt.Sprintf("exit %d", int(s)) }

// report prints err for a person and returns the exit code for a script.
func report(ctx context.Context, cmd *cobra.Command, err error) int {
	if err == nil {
		return exitOK
	}
	// Whoever pressed the keys knows why it stopped: no message.
	if sig, ok := errors.AsType[interrupted](err); ok {
		return sig.code()
	}
	if sig, ok := errors.AsType[interrupted](context.Cause(ctx)); ok && errors.Is(err, context.Canceled) {
		return sig.code()
	}
	if code, ok := errors.AsType[silent](err); ok {
		return int(code)
	}
	if errors.Is(err, syscall.EPIPE) {
		return exitPipe
	}
	fmt.Fprintln(os.Stderr, message(cmd, err))
	if hint := hintFor(cmd, err); hint != "" {
		fmt.Fprintln(os.Stderr, "hint: "+hint)
	}
	if _, ok := errors.AsType[usageError](err); ok && cmd.HasParent() && !cmd.HasSubCommands() {
		fmt.Fprintf(os.Stderr, "usage: %s\n", cmd.UseLine())
	}
	return exitCode(err)
}

func exitCode(err error) int {
	_, usage := errors.AsType[usageError](err)
	_, timeout := errors.AsType[timeoutError](err)
	switch {
	case usage:
		return exitUsage
	case errors.Is(err, party.ErrNotFound):
		return exitNotFound
	case errors.Is(err, party.ErrLocked):
		return exitLocked
	case timeout:
		return exitTimeout
	}
	return exitFailure
}

// message is "party: get: what happened". The library's own prefixes, one per
// layer an error has passed, are taken out.
func message(cmd *cobra.Command, err error) string {
	text := strings.ReplaceAll(err.Error(), "party: ", "")
	prefix := "party: "
	if cmd.HasParent() {
		name := strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
		text = strings.TrimPrefix(text, name+": ")
		prefix += name + ": "
	}
	return prefix + text
}

// hintFor says what a person can do about err, if there is something.
func hintFor(cmd *cobra.Command, err error) string {
	if h, ok := errors.AsType[hinted](err); ok {
		return h.hint
	}
	_, timeout := errors.AsType[timeoutError](err)
	switch {
	case errors.Is(err, party.ErrLocked):
		return "stop that program, or let it open the database through party, rave-level or level-party"
	case timeout:
		return "the process that leads may be paused or overloaded; --timeout waits longer"
	case errors.Is(err, party.ErrTooLarge) && cmd.Name() == "batch":
		return "--chunk N applies a large batch in parts"
	case errors.Is(err, party.ErrTooLarge):
		return "what is written at once has to fit a message between processes"
	case errors.Is(err, party.ErrNotSupported):
		return "a Node process leads this database; try again when a Go process does"
	case errors.Is(err, party.ErrCorrupted):
		return `make a copy of the directory, then see "party check" and "party repair"`
	}
	return ""
}

// explainOpen adds to a failure to open dir what a look at the file system
// tells about it.
func explainOpen(dir string, err error) error {
	info, statErr := os.Stat(dir)
	switch {
	case (errors.Is(err, party.ErrNotExist) || errors.Is(err, fs.ErrNotExist)) && !isDatabase(dir):
		return noDatabase(dir)
	case statErr == nil && !info.IsDir():
		if isDatabase(filepath.Dir(dir)) {
			return hintf(fmt.Errorf("%s is a file", dir), "the database is the directory: %s", filepath.Dir(dir))
		}
		return hintf(fmt.Errorf("%s is a file", dir), "a LevelDB database is a directory")
	case errors.Is(err, fs.ErrPermission) && isDial(err):
		return hintf(err, "the leading process runs as another user; run this as the same")
	case errors.Is(err, fs.ErrPermission):
		return hintf(err, "run this as the user who owns the directory, or as one who may write to it")
	}
	return err
}

// noDatabase tells the two ways for a database not to be there apart, and
// looks whether it is one step away.
func noDatabase(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return hintf(fmt.Errorf("no database at %s: there is no such directory", dir),
			`check the path; "party put" and "party batch" create a database`)
	case errors.Is(err, syscall.ENOTDIR):
		return hintf(fmt.Errorf("%s is not a directory", dir), "a LevelDB database is a directory")
	case err != nil:
		return err
	}
	failure := fmt.Errorf("no database in %s: it has no CURRENT file", dir)
	for _, e := range entries {
		if sub := filepath.Join(dir, e.Name()); e.IsDir() && isDatabase(sub) {
			return hintf(failure, "there is one in %s", sub)
		}
	}
	return hintf(failure, `check the path; "party put" and "party batch" create a database`)
}

// isDial reports whether err comes from a socket.
func isDial(err error) bool {
	_, ok := errors.AsType[*net.OpError](err)
	return ok
}

func isDatabase(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "CURRENT"))
	return err == nil
}
