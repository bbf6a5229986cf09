package main

import (
	"bytes"
	"encoding/json"
	"testing"
)

// What is written as a field or a member is read back, whatever the bytes are.
func FuzzFormats(f *testing.F) {
	for _, s := range []string{"", "plain", "tab\tand\nnewline\r", `back\slash\n`, "\x00\x7f\x80\xff", "é\u0085\u2028\x1b[31m", "\\", "\\x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, format := range []format{text, hexadecimal, base64Format} {
			field, err := format.appendField(nil, b)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.ContainsAny(field, "\t\n\r\x1b") {
				t.Errorf("%v: field %q breaks the line", format, field)
			}
			got, err := format.parseField(field)
			if err != nil || !bytes.Equal(got, b) {
				t.Errorf("%v: %q as a field is %q, read as %q, %v", format, b, field, got, err)
			}

			object, err := format.appendMember([]byte{'{'}, "key", b)
			if err != nil {
				t.Fatal(err)
			}
			var op operation
			if err := json.Unmarshal(append(object, '}'), &op); err != nil {
				t.Fatalf("%v: %s: %v", format, object, err)
			}
			got, err = format.parseMember("key", op.Key, op.KeyBase64)
			if err != nil || !bytes.Equal(got, b) {
				t.Errorf("%v: %q as a member is %s, read as %q, %v", format, b, object, got, err)
			}
		}
	})
}

func TestUnescapeRefuses(t *testing.T) {
	for _, s := range []string{`\`, `\q`, `\x`, `\x1`, `\xzz`, `ok\`} {
		if got, err := unescape([]byte(s)); err == nil {
			t.Errorf("unescape(%q) = %q, want an error", s, got)
		}
	}
}

func TestSuccessor(t *testing.T) {
	for _, c := range []struct{ prefix, want string }{
		{"a", "b"}, {"a\xff", "b"}, {"a\xffb", "a\xffc"}, {"\xff\xff", ""}, {"", ""},
	} {
		if got := successor([]byte(c.prefix)); string(got) != c.want || (got == nil) != (c.want == "") {
			t.Errorf("successor(%q) = %q, want %q", c.prefix, got, c.want)
		}
	}
}
