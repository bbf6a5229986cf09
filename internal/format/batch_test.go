package format_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/syndtr/goleveldb/leveldb"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/store"
)

func TestBatch(t *testing.T) {
	want := []format.Record{
		{Key: []byte("key"), Value: []byte("value")},
		{Key: []byte(""), Value: []byte("")},
		{Delete: true, Key: []byte("gone")},
		{Key: bytes.Repeat([]byte("k"), 200), Value: make([]byte, 70_000)},
	}
	b := format.AppendBatchHeader([]byte("before"), 0x01020304050607, len(want))
	var theirs leveldb.Batch
	for _, r := range want {
		if r.Delete {
			b = format.AppendDelete(b, r.Key)
			theirs.Delete(r.Key)
		} else {
			b = format.AppendPut(b, r.Key, r.Value)
			theirs.Put(r.Key, r.Value)
		}
	}
	b = b[len("before"):]
	if got := string(b[:format.BatchHeaderLen]); got != "\x07\x06\x05\x04\x03\x02\x01\x00\x04\x00\x00\x00" {
		t.Errorf("header %q", got)
	}
	if !bytes.Equal(b[format.BatchHeaderLen:], theirs.Dump()) {
		t.Error("goleveldb makes other records")
	}
	seq, count, records, err := format.ParseBatch(b)
	if err != nil || seq != 0x01020304050607 || count != len(want) {
		t.Fatalf("got %d %d, %v", seq, count, err)
	}
	if n, err := format.CountRecords(records); n != len(want) || err != nil {
		t.Errorf("got %d records, %v", n, err)
	}
	for i, w := range want {
		var r format.Record
		if r, records, err = format.NextRecord(records); err != nil {
			t.Fatal(err)
		}
		if r.Delete != w.Delete || !bytes.Equal(r.Key, w.Key) || !bytes.Equal(r.Value, w.Value) {
			t.Errorf("record %d: got key %.100q, value %.100q", i, r.Key, r.Value)
		}
	}
	if len(records) > 0 {
		t.Errorf("%d bytes are left", len(records))
	}
}

func TestBatchDamage(t *testing.T) {
	for _, batch := range []string{"", "12345678901", "\x00\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00\x00"} {
		if _, _, _, err := format.ParseBatch([]byte(batch)); !errors.Is(err, store.ErrCorrupted) {
			t.Errorf("%q: %v", batch, err)
		}
	}
	for _, records := range []string{"", "\x02\x01k", "\x01", "\x01\x01", "\x01\x02k", "\x01\x01k", "\x01\x01k\x02v", "\x00", "\x00\x05key",
		"\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		if r, _, err := format.NextRecord([]byte(records)); !errors.Is(err, store.ErrCorrupted) {
			t.Errorf("%q: %v, %v", records, r, err)
		}
	}
}

func FuzzNextRecord(f *testing.F) {
	f.Add(format.AppendDelete(format.AppendPut(nil, []byte("key"), []byte("value")), []byte("gone")))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := format.CountRecords(b)
		if err != nil {
			if !errors.Is(err, store.ErrCorrupted) {
				t.Fatal(err)
			}
			return
		}
		var again []byte
		rest := slices.Clip(b)
		for range n {
			var r format.Record
			if r, rest, err = format.NextRecord(rest); err != nil {
				t.Fatal(err)
			}
			if r.Delete {
				again = format.AppendDelete(again, r.Key)
			} else {
				again = format.AppendPut(again, r.Key, r.Value)
			}
		}
		if len(again) > len(b) || len(rest) > 0 {
			t.Fatalf("%d bytes of %d, %d left", len(again), len(b), len(rest))
		}
	})
}
