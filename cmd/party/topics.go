package main

import "github.com/spf13/cobra"

// A command without Run is a help topic to cobra.

func newFormatsTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "formats",
		Short: "How keys and values are written",
		Long: `Keys and values are bytes. --format says how they are written on the command
line, in input and in output; --key-format and --value-format say it for one of
the two:

  text     the bytes themselves (default)
  hex      two digits a byte: 6b6579
  base64   standard alphabet; input may use the URL alphabet and leave out "="
  json     a JSON text, stored in its compact form: the "json" encoding of
           Node's level packages

Arguments and what "put" reads from standard input are taken as they are. Where
a line holds an entry (scan, keys, getmany, batch), text that would break the
line is escaped: \\ for a backslash, \t, \n, \r, and \xNN for other control
characters and for bytes that are not UTF-8. "batch" undoes that, so what "scan"
prints can be read back whatever the bytes are.

With --json a line is a JSON object, such as

  {"key":"fruit","value":"apple"}

In format text, bytes that are not UTF-8 cannot be a JSON string; the fields are
then named keyBase64 and valueBase64. "batch" reads both:

  party scan ./old --json | party batch ./new`,
	}
}

func newExitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit status says",
		Long: `  0    done
  1    failed: the message says why
  2    the command line is wrong; nothing was done
  3    no such key (get, has)
  4    a program that does not share holds the database's lock
  5    no answer within --timeout
  130  stopped by Ctrl-C (SIGINT)
  143  stopped by SIGTERM
  141  the reader of standard output went away

A database that does not exist is code 1, so that 3 is always about the key.
"check" ends with 1 if the database is damaged.
"host" ends with 0 when a signal stops it: that is how it is meant to end.`,
	}
}
