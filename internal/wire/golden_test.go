package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/levelparty/party/internal/format"
)

// octets are bytes that JSON gives in hexadecimal. Absent stays nil, empty
// does not.
type octets []byte

func (o *octets) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	*o = append(octets{}, b...)
	return err
}

// goldenCase is one line of testdata/many.json or multi.json.
type goldenCase struct {
	From  string
	Tag   byte
	Name  string
	Frame octets
	Value struct {
		ID, Seq, Consumed, Batch uint64
		Key, Value               octets
		Bookmark, Seek, Target   octets
		Error                    string
		Keys, Data               []octets
		Values                   []struct{ Value octets }
		Ops                      []struct {
			Type       string
			Key, Value octets
		}
		Options *struct {
			Keys, Values     bool
			Gt, Gte, Lt, Lte octets
			Limit            int64
			Reverse          bool
		}
	}
}

func loadGolden(t testing.TB, p Proto) []goldenCase {
	t.Helper()
	file := map[Proto]string{Many: "testdata/many.json", Multi: "testdata/multi.json"}[p]
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cases []goldenCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// encode builds the frame from what the case says.
func (c *goldenCase) encode(t *testing.T) []byte {
	v := &c.Value
	var o npmOptions
	if v.Options != nil {
		o = npmOptions{v.Options.Keys, v.Options.Values, v.Options.Gt, v.Options.Gte, v.Options.Lt, v.Options.Lte,
			v.Options.Limit, v.Options.Reverse}
	}
	dst, mark := beginFrame(nil, c.Tag)
	switch c.Name {
	case "Get", "Put", "Delete":
		dst = keyMessage{v.ID, v.Key, v.Value}.append(dst)
	case "Batch":
		var records []byte
		for _, op := range v.Ops {
			if op.Type == "put" {
				records = format.AppendPut(records, op.Key, op.Value)
			} else {
				records = format.AppendDelete(records, op.Key)
			}
		}
		var err error
		if dst, err = appendBatch(dst, v.ID, records); err != nil {
			t.Fatal(err)
		}
	case "Clear":
		dst = clearMessage{v.ID, o}.append(dst)
	case "GetMany":
		var keys [][]byte
		for _, k := range v.Keys {
			keys = append(keys, k)
		}
		dst = appendGetMany(dst, v.ID, keys)
	case "Callback":
		dst = appendCallback(dst, v.ID, v.Error, v.Value)
	case "GetManyCallback":
		dst = appendCallback(dst, v.ID, v.Error, nil)
		for _, value := range v.Values {
			dst = appendValue(dst, value.Value)
		}
	case "Iterator":
		if c.Value.Batch > 0 || v.Options == nil {
			dst = multiIteratorMessage{v.ID, v.Batch, o, v.Options != nil}.append(dst)
		} else {
			dst = manyIteratorMessage{v.ID, v.Seq, o, v.Consumed, v.Bookmark, v.Seek}.append(dst)
		}
	case "IteratorClose":
		dst = appendManyClose(dst, v.ID)
	case "IteratorAck":
		dst = appendManyAck(dst, v.ID, v.Seq, v.Consumed)
	case "IteratorSeek":
		dst = appendManySeek(dst, v.ID, v.Seq, v.Target)
	case "IteratorEnd":
		dst = appendManyEnd(dst, v.ID, v.Seq)
	case "IteratorError":
		dst = appendManyError(dst, v.ID, v.Seq, v.Error)
	case "IteratorData":
		if v.Data == nil {
			dst = appendMultiData(dst, v.ID, v.Error, v.Key, v.Value)
			break
		}
		dst = appendManyData(dst, v.ID, v.Seq)
		for _, item := range v.Data {
			dst = appendItem(dst, item)
		}
	default:
		t.Fatalf("unknown message %s", c.Name)
	}
	return endFrame(dst, mark)
}

// recode decodes a message and encodes it again.
func recode(p Proto, from string, tag byte, msg []byte) ([]byte, error) {
	dst, mark := beginFrame(nil, tag)
	var err error
	switch {
	case from == "guest" && tag <= npmDelete:
		var m keyMessage
		m, err = decodeKeyMessage(msg)
		dst = m.append(dst)
	case from == "guest" && tag == npmBatch:
		var id uint64
		var records []byte
		if id, _, records, err = decodeBatch(msg, nil); err == nil {
			dst, err = appendBatch(dst, id, records)
		}
	case from == "guest" && tag == npmClear:
		var m clearMessage
		m, err = decodeClear(msg)
		dst = m.append(dst)
	case from == "guest" && tag == npmGetMany:
		var keys [][]byte
		var id uint64
		id, err = decodeGetMany(msg, func(key []byte) { keys = append(keys, key) })
		dst = appendGetMany(dst, id, keys)
	case from == "guest" && tag == npmIterator && p == Many:
		var m manyIteratorMessage
		m, err = decodeManyIterator(msg)
		dst = m.append(dst)
	case from == "guest" && tag == npmIterator:
		var m multiIteratorMessage
		m, err = decodeMultiIterator(msg)
		dst = m.append(dst)
	case from == "guest":
		var m manyIteratorStep
		m, err = decodeManyStep(msg, tag, false)
		switch tag {
		case manyIteratorClose:
			dst = appendManyClose(dst, m.id)
		case manyIteratorAck:
			dst = appendManyAck(dst, m.id, m.seq, m.consumed)
		case manyIteratorSeek:
			dst = appendManySeek(dst, m.id, m.seq, m.bytes)
		}
	case tag == npmCallback:
		var m callbackMessage
		m, err = decodeCallback(msg)
		dst = appendCallback(dst, m.id, string(m.error), m.value)
	case tag == npmGetManyCallback:
		var m getManyCallbackMessage
		m, err = decodeGetManyCallback(msg)
		dst = appendCallback(dst, m.id, string(m.error), nil)
		for _, value := range m.values {
			dst = appendValue(dst, value)
		}
	case tag == npmIteratorData && p == Many:
		var m manyData
		m, err = decodeManyData(msg)
		dst = appendManyData(dst, m.id, m.seq)
		for _, item := range m.data {
			dst = appendItem(dst, item)
		}
	case tag == npmIteratorData:
		var m multiData
		m, err = decodeMultiData(msg)
		dst = appendMultiData(dst, m.id, string(m.error), m.key, m.value)
	default:
		var m manyIteratorStep
		m, err = decodeManyStep(msg, tag, true)
		if tag == manyIteratorEnd {
			dst = appendManyEnd(dst, m.id, m.seq)
		} else {
			dst = appendManyError(dst, m.id, m.seq, string(m.bytes))
		}
	}
	return endFrame(dst, mark), err
}

// TestGolden holds every message against the bytes npm makes of it, both ways.
func TestGolden(t *testing.T) {
	for _, p := range []Proto{Many, Multi} {
		t.Run(p.String(), func(t *testing.T) {
			for i, c := range loadGolden(t, p) {
				if got := c.encode(t); !bytes.Equal(got, c.Frame) {
					t.Errorf("case %d, %s: encoded\n got %x\nwant %x", i, c.Name, got, []byte(c.Frame))
				}
				frame, err := newFrameReader(bytes.NewReader(c.Frame), 0).next()
				if err != nil {
					t.Fatalf("case %d, %s: %v", i, c.Name, err)
				}
				got, err := recode(p, c.From, frame[0], frame[1:])
				if err != nil || !bytes.Equal(got, c.Frame) {
					t.Errorf("case %d, %s: decoded and encoded\n got %x, %v\nwant %x", i, c.Name, got, err, []byte(c.Frame))
				}
			}
		})
	}
}

// TestDamagedMessages cuts every message short everywhere: it must be refused
// or be whole in itself, and never be taken for the end of the stream.
func TestDamagedMessages(t *testing.T) {
	for _, p := range []Proto{Many, Multi} {
		for _, c := range loadGolden(t, p) {
			frame, err := newFrameReader(bytes.NewReader(c.Frame), 0).next()
			if err != nil {
				t.Fatal(err)
			}
			for n := 1; n < min(len(frame), 1000); n++ {
				_, err := recode(p, c.From, frame[0], frame[1:n])
				if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("%s cut to %d bytes: %v, which looks like the end of the stream", c.Name, n, err)
				}
			}
		}
	}
}
