package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/levelparty/party"
)

func newGet() *cobra.Command {
	var (
		db      dbFlags
		formats formatFlags
		raw     bool
		asJSON  bool
	)
	cmd := &cobra.Command{
		Use:   "get DIR KEY",
		Short: "Print the value of a key",
		Long: `Get prints the value of KEY and a newline. If there is no such key it says so
and ends with code 3.

To a terminal, control characters of the value are shown as escapes; into a pipe
or file go the bytes as they are. --raw writes the bytes and nothing else.`,
		Example: examples(
			"party get ./db fruit", "",
			"party get ./db photo --raw > photo.jpg", "the bytes, without a newline",
			"party get ./db 00ff -k hex -v json", "a binary key, a JSON value",
			"party get ./db ann --sub users", "in sublevel users",
		),
		Args: args(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if raw && asJSON {
				return usagef("--raw and --json exclude each other")
			}
			key, err := formats.parseKey(args[1])
			if err != nil {
				return err
			}
			return db.with(cmd, args[0], reading, func(s *session) error {
				var value []byte
				err := s.wait(func() (err error) {
					value, err = s.kv.Get(s.ctx, key)
					return err
				})
				if errors.Is(err, party.ErrNotFound) {
					return fmt.Errorf("no such key: %s%w", formats.quoteKey(key), hush{party.ErrNotFound})
				}
				if err != nil {
					return err
				}
				return printValue(&formats, key, value, raw, asJSON)
			})
		},
	}
	formats.register(cmd, true)
	cmd.Flags().BoolVar(&raw, "raw", false, "write the value's bytes and nothing else")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	db.register(cmd, true)
	return cmd
}

// hush keeps the identity of an error and drops its text.
type hush struct{ error }

func (hush) Error() string   { return "" }
func (h hush) Unwrap() error { return h.error }

func printValue(formats *formatFlags, key, value []byte, raw, asJSON bool) (err error) {
	out := newOutput()
	f := formats.value()
	switch {
	case raw:
		out.buf = value
		return out.flush()
	case asJSON:
		if out.buf, err = appendEntry(out.buf, formats, key, value); err != nil {
			return err
		}
	case f == text && isTerminal(os.Stdout):
		out.buf = appendEscaped(out.buf, value, true)
	default:
		if out.buf, err = f.append(out.buf, value); err != nil {
			return notJSON(err, "value")
		}
	}
	out.buf = append(out.buf, '\n')
	return out.flush()
}

// appendEntry appends a key and its value as a JSON object.
func appendEntry(dst []byte, formats *formatFlags, key, value []byte) ([]byte, error) {
	dst = append(dst, '{')
	dst, err := formats.key().appendMember(dst, "key", key)
	if err != nil {
		return dst, notJSON(err, "key")
	}
	dst = append(dst, ',')
	if dst, err = formats.value().appendMember(dst, "value", value); err != nil {
		return dst, notJSON(err, "value")
	}
	return append(dst, '}'), nil
}

// notJSON says what to do about stored bytes that are not what --format says.
func notJSON(err error, what string) error {
	return hintf(fmt.Errorf("%s is %w", what, err), "--%s-format text shows it as it is", what)
}
