package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// format is the way keys or values are written. It is a flag's value.
type format uint8

const (
	text format = iota
	hexadecimal
	base64Format
	jsonFormat
)

var formatNames = [...]string{text: "text", hexadecimal: "hex", base64Format: "base64", jsonFormat: "json"}

var errUnknownFormat = errors.New("unknown format")

func (f format) String() string { return formatNames[f] }

// Type is what help calls the flag's value.
func (f format) Type() string { return "FORMAT" }

// Set takes the name of a format.
func (f *format) Set(name string) error {
	for i, n := range formatNames {
		if n == name {
			*f = format(i)
			return nil
		}
	}
	return fmt.Errorf("%w %q", errUnknownFormat, name)
}

// parse returns the bytes that s, an argument or a whole input, stands for.
func (f format) parse(s []byte) ([]byte, error) {
	switch f {
	case hexadecimal:
		s = bytes.TrimSpace(s)
		b := make([]byte, hex.DecodedLen(len(s)))
		if _, err := hex.Decode(b, s); err != nil {
			return nil, fmt.Errorf("not hex: %w", err)
		}
		return b, nil
	case base64Format:
		// One decoder for both alphabets, padded or not.
		plain := strings.NewReplacer("-", "+", "_", "/", "\n", "", "\r", "").Replace(strings.TrimSpace(string(s)))
		b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(plain, "="))
		if err != nil {
			return nil, fmt.Errorf("not base64: %w", err)
		}
		return b, nil
	case jsonFormat:
		return compactJSON(s)
	}
	return s, nil
}

// parseField returns the bytes that a field of a line stands for: parse, but
// text has escapes.
func (f format) parseField(s []byte) ([]byte, error) {
	if f == text {
		return unescape(s)
	}
	return f.parse(s)
}

// append appends b as it is written where nothing follows on the line.
func (f format) append(dst, b []byte) ([]byte, error) {
	switch f {
	case hexadecimal:
		return hex.AppendEncode(dst, b), nil
	case base64Format:
		return base64.StdEncoding.AppendEncode(dst, b), nil
	case jsonFormat:
		c, err := compactJSON(b)
		return append(dst, c...), err
	}
	return append(dst, b...), nil
}

// appendField appends b as a field of a line: append, but text has escapes.
func (f format) appendField(dst, b []byte) ([]byte, error) {
	if f == text {
		return appendEscaped(dst, b, false), nil
	}
	return f.append(dst, b)
}

// appendMember appends b as a member of a JSON object: "name":value, or
// "nameBase64":value if b is not what a JSON string can hold.
func (f format) appendMember(dst []byte, name string, b []byte) ([]byte, error) {
	dst = append(dst, '"')
	dst = append(dst, name...)
	if f == text && !utf8.Valid(b) {
		dst = append(dst, `Base64":"`...)
		return append(base64.StdEncoding.AppendEncode(dst, b), '"'), nil
	}
	dst = append(dst, `":`...)
	switch f {
	case text:
		return appendJSONString(dst, string(b)), nil
	case jsonFormat:
		return f.append(dst, b)
	}
	dst, err := f.append(append(dst, '"'), b)
	return append(dst, '"'), err
}

// parseMember is appendMember's inverse: it takes the values of the two members,
// of which one must be there.
func (f format) parseMember(name string, value json.RawMessage, encoded *string) ([]byte, error) {
	switch {
	case encoded != nil && value != nil:
		return nil, fmt.Errorf("both %s and %sBase64", name, name)
	case encoded != nil:
		return base64Format.parse([]byte(*encoded))
	case value == nil:
		return nil, fmt.Errorf("no %s", name)
	case f == jsonFormat:
		return compactJSON(value)
	}
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		return nil, hintf(fmt.Errorf("%s is not a JSON string", name),
			"--%s-format json takes any JSON value, and stores it as JSON", name)
	}
	return f.parse([]byte(s))
}

func compactJSON(b []byte) ([]byte, error) {
	var c bytes.Buffer
	if err := json.Compact(&c, b); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	return c.Bytes(), nil
}

// appendJSONString appends s as a JSON string, without the escapes for HTML
// that json.Marshal adds.
func appendJSONString(dst []byte, s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(s) // a string and a Buffer: cannot fail
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

const hexDigits = "0123456789abcdef"

// appendEscaped appends b with escapes for all that would break a line, drive a
// terminal, or not be UTF-8. With lines, newlines and tabs are kept.
func appendEscaped(dst, b []byte, lines bool) []byte {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case lines && (r == '\n' || r == '\t'):
			dst = append(dst, b[0])
		case r == '\\' && !lines:
			dst = append(dst, `\\`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case unicode.IsControl(r) || r == utf8.RuneError && n == 1:
			for _, c := range b[:n] {
				dst = append(dst, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
			}
		default:
			dst = append(dst, b[:n]...)
		}
		b = b[n:]
	}
	return dst
}

// unescape is appendEscaped's inverse.
func unescape(s []byte) ([]byte, error) {
	if bytes.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		i++
		if i == len(s) {
			return nil, errBackslash
		}
		switch s[i] {
		case '\\':
			b = append(b, '\\')
		case 't':
			b = append(b, '\t')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 'x':
			var c [1]byte
			if len(s) < i+3 {
				return nil, errBackslash
			}
			if _, err := hex.Decode(c[:], s[i+1:i+3]); err != nil {
				return nil, errBackslash
			}
			b = append(b, c[0])
			i += 2
		default:
			return nil, errBackslash
		}
	}
	return b, nil
}

var errBackslash = hinted{errors.New(`unknown escape after a backslash`), `in lines of text, write \\ for a backslash; "party help formats" has the others`}

// formatFlags are --format, --key-format and --value-format.
type formatFlags struct {
	both, keyFlag, valueFlag format
	cmd                      *cobra.Command
}

func (f *formatFlags) register(cmd *cobra.Command, values bool) {
	f.cmd = cmd
	flags := cmd.Flags()
	if values {
		flags.VarP(&f.both, "format", "f", "of keys and values: text, hex, base64, json")
		flags.VarP(&f.keyFlag, "key-format", "k", "of keys alone")
		flags.VarP(&f.valueFlag, "value-format", "v", "of values alone")
	} else {
		flags.VarP(&f.keyFlag, "key-format", "k", "of keys: text, hex, base64, json")
		flags.VarP(&f.both, "format", "f", "the same as --key-format")
	}
	for _, name := range []string{"format", "key-format", "value-format"} {
		if fl := flags.Lookup(name); fl != nil {
			fl.DefValue = "" // text; said once in "party help formats"
			cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(formatNames[:], cobra.ShellCompDirectiveNoFileComp))
		}
	}
}

func (f *formatFlags) key() format {
	if f.cmd.Flags().Changed("key-format") {
		return f.keyFlag
	}
	return f.both
}

func (f *formatFlags) value() format {
	if f.cmd.Flags().Changed("value-format") {
		return f.valueFlag
	}
	return f.both
}

// parseKey takes a key from the command line.
func (f *formatFlags) parseKey(arg string) ([]byte, error) {
	k, err := f.key().parse([]byte(arg))
	if err != nil {
		return nil, usagef("key %q: %w", arg, err)
	}
	return k, nil
}

// quoteKey shows a key in a message, the way it would be typed.
func (f *formatFlags) quoteKey(key []byte) string {
	shown, err := f.key().append(nil, key)
	if err != nil || f.key() == text {
		return fmt.Sprintf("%q", key)
	}
	return string(shown)
}
