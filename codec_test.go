package party_test

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/levelparty/party"
)

// golden is testdata/sublevel/golden.json, whose README tells what it holds.
type golden struct {
	Encodings []struct {
		Encoding string
		Put, Got json.RawMessage
		Stored   string
	}
	Names []struct {
		Names         []goldenName
		Prefix, Error string
	}
	Entries []struct {
		Names       []goldenName
		Key, Stored string
		Value       string
	}
	Reads []struct {
		Names []goldenName
		Range goldenRange
		Keys  []string
	}
	Clears []struct {
		Names []goldenName
		Range goldenRange
		Left  []string
	}
}

func readGolden(t *testing.T) (g golden) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "sublevel", "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCodecsGolden compares with Node: what it stores we store, what it reads
// we read. Where Node drops a part of a text, we refuse the text.
func TestCodecsGolden(t *testing.T) {
	stricter := []string{
		"hex a", "hex abc", "hex zz", "hex ab cd", "hex 0x12",
		"base64 a", "base64 aGVsb", "base64 aGVs*bG8=", "base64 aA==aA==", "base64 é",
	}
	for _, c := range readGolden(t).Encodings {
		t.Run(c.Encoding+"/"+string(c.Put), func(t *testing.T) {
			stored := unhex(t, c.Stored)
			switch c.Encoding {
			case "utf8":
				checkGolden(t, party.UTF8, fromJSON[string](t, c.Put), stored, fromJSON[string](t, c.Got))
			case "buffer", "view":
				put, got := fromJSON[struct{ Hex string }](t, c.Put), fromJSON[struct{ Hex string }](t, c.Got)
				checkGolden(t, party.Binary, unhex(t, put.Hex), stored, unhex(t, got.Hex))
			case "hex", "base64":
				codec := map[string]party.Codec[string]{"hex": party.Hex, "base64": party.Base64}[c.Encoding]
				put := fromJSON[string](t, c.Put)
				if !slices.Contains(stricter, c.Encoding+" "+put) {
					checkGolden(t, codec, put, stored, fromJSON[string](t, c.Got))
				} else if b, err := codec.Append(nil, put); !errors.Is(err, party.ErrInvalid) {
					t.Errorf("Append(%q) = %x, %v; want ErrInvalid", put, b, err)
				}
			case "json":
				checkGolden(t, party.JSON[any](), fromJSON[any](t, c.Put), stored, fromJSON[any](t, c.Got))
			default:
				t.Errorf("no codec for %q", c.Encoding)
			}
		})
	}
}

func fromJSON[T any](t *testing.T, data []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func checkGolden[T any](t *testing.T, c party.Codec[T], put T, stored []byte, got T) {
	t.Helper()
	const before = `before \u2028 ` // must be left alone
	b, err := c.Append([]byte(before), put)
	if want := before + string(stored); err != nil || string(b) != want {
		t.Errorf("Append(%#v) = %q, %v; want %q", put, b, err, want)
	}
	v, err := c.Decode(stored)
	if err != nil || !reflect.DeepEqual(v, got) {
		t.Errorf("Decode(%q) = %#v, %v; want %#v", stored, v, err, got)
	}
}

func TestIntegerCodecs(t *testing.T) {
	checkInteger(t, party.Uint64, 8, []uint64{0, 1, 255, 256, 1 << 32, math.MaxInt64, math.MaxUint64})
	checkInteger(t, party.Uint32, 4, []uint32{0, 1, 255, 256, 1 << 31, math.MaxUint32})
	checkInteger(t, party.Int64, 8, []int64{math.MinInt64, -1 << 32, -256, -1, 0, 1, 255, 1 << 32, math.MaxInt64})

	for _, c := range []struct {
		name string
		got  func() ([]byte, error)
		want string
	}{
		{"Uint64", func() ([]byte, error) { return party.Uint64.Append(nil, 258) }, "0000000000000102"},
		{"Uint32", func() ([]byte, error) { return party.Uint32.Append(nil, 258) }, "00000102"},
		{"Int64", func() ([]byte, error) { return party.Int64.Append(nil, 258) }, "8000000000000102"},
		{"Int64 negative", func() ([]byte, error) { return party.Int64.Append(nil, -1) }, "7fffffffffffffff"},
	} {
		if b, err := c.got(); err != nil || hex.EncodeToString(b) != c.want {
			t.Errorf("%s: %x, %v; want %s", c.name, b, err, c.want)
		}
	}
}

// checkInteger checks that sorted numbers come back, have size bytes each, and
// sort the same as bytes.
func checkInteger[T cmp.Ordered](t *testing.T, c party.Codec[T], size int, sorted []T) {
	t.Helper()
	var last []byte
	for _, n := range sorted {
		b, err := c.Append(nil, n)
		if err != nil || len(b) != size {
			t.Errorf("Append(%T %v) = %x, %v; want %d bytes", n, n, b, err, size)
		}
		if got, err := c.Decode(b); err != nil || got != n {
			t.Errorf("Decode(%x) = %v, %v; want %v", b, got, err, n)
		}
		if last != nil && bytes.Compare(last, b) >= 0 {
			t.Errorf("%v is %x and sorts before %x", n, b, last)
		}
		last = b
	}
	for _, bad := range [][]byte{nil, last[1:], append(slices.Clone(last), 0)} {
		if n, err := c.Decode(bad); !errors.Is(err, party.ErrCorrupted) {
			t.Errorf("Decode(%x) = %v, %v; want ErrCorrupted", bad, n, err)
		}
	}
}

func TestBinaryDecodeCopies(t *testing.T) {
	data := []byte("abc")
	v, err := party.Binary.Decode(data)
	data[0] = 'x'
	if err != nil || string(v) != "abc" {
		t.Errorf("Decode = %q, %v", v, err)
	}
	if v, err := party.Binary.Decode(nil); err != nil || v == nil || len(v) != 0 {
		t.Errorf("Decode(nil) = %#v, %v; want empty and not nil", v, err)
	}
}

func TestJSONCodec(t *testing.T) {
	type user struct {
		Name string            `json:"name"`
		Tags []string          `json:"tags,omitempty"`
		Meta map[string]string `json:"meta,omitempty"`
	}
	c := party.JSON[user]()
	b, err := c.Append([]byte("> "), user{Name: "<A&B>", Meta: map[string]string{"b": "2", "a": "1"}})
	if want := `> {"name":"<A&B>","meta":{"a":"1","b":"2"}}`; err != nil || string(b) != want {
		t.Errorf("Append = %s, %v; want %s", b, err, want)
	}
	for _, bad := range []string{"", "{", "{} {}", `{"name":1}`, "\xef\xbb\xbf{}"} {
		if v, err := c.Decode([]byte(bad)); !errors.Is(err, party.ErrCorrupted) || !reflect.DeepEqual(v, user{}) {
			t.Errorf("Decode(%q) = %+v, %v; want ErrCorrupted", bad, v, err)
		}
	}
	for _, bad := range []any{math.NaN(), math.Inf(1), func() {}} {
		if b, err := party.JSON[any]().Append(nil, bad); !errors.Is(err, party.ErrInvalid) {
			t.Errorf("Append(%T) = %s, %v; want ErrInvalid", bad, b, err)
		}
	}
}

func FuzzHex(f *testing.F) {
	for _, s := range []string{"", "00", "DEADbeef", "abc", "zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := party.Hex.Append([]byte("x"), s)
		if err != nil {
			if !errors.Is(err, party.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		if got, err := party.Hex.Decode(b[1:]); err != nil || got != strings.ToLower(s) {
			t.Errorf("%q came back as %q, %v", s, got, err)
		}
	})
}

// FuzzBase64 checks that what is taken survives a round trip, and that all is
// taken that one of encoding/base64's own forms is.
func FuzzBase64(f *testing.F) {
	for _, s := range []string{"", "aGk=", "aGk", "-_-_", "aG Vs\nbG8=", "a", "aA==aA=="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := party.Base64.Append([]byte("x"), s)
		if err != nil && !errors.Is(err, party.ErrInvalid) {
			t.Fatal(err)
		}
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			if want, e := enc.DecodeString(s); e == nil && (err != nil || !bytes.Equal(b[1:], want)) {
				t.Errorf("%q: %x, %v; want %x", s, b, err, want)
			}
		}
		if err != nil {
			return
		}
		text, err := party.Base64.Decode(b[1:])
		if err != nil {
			t.Fatal(err)
		}
		if again, err := party.Base64.Append([]byte("x"), text); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%q: %x came back as %x, %v", s, b, again, err)
		}
	})
}

// FuzzJSONString checks that the escapes taken out again do not change a text,
// and that none is left that JSON.stringify would not write.
func FuzzJSONString(f *testing.F) {
	for _, s := range []string{"", "\u2028", `\u2028`, `\\u2029`, "\xff", `\`, "\u2029\\\u2028\"\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := party.JSON[string]().Append(nil, s)
		if err != nil {
			t.Fatal(err)
		}
		want := string([]rune(s)) // each byte that is no UTF-8 becomes U+FFFD
		if got, err := party.JSON[string]().Decode(b); err != nil || got != want {
			t.Errorf("%q is %s and came back as %q, %v", want, b, got, err)
		}
		for _, r := range want {
			if r >= ' ' && r != '"' && r != '\\' && !bytes.ContainsRune(b, r) {
				t.Errorf("%q is %s: %q is escaped", want, b, r)
			}
		}
	})
}
