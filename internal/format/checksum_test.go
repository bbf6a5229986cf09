package format_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/levelparty/party/internal/format"
)

// unmask undoes the mask, so that checksums can be compared with published
// ones.
func unmask(c uint32) uint32 {
	c -= 0xa282ead8
	return c>>17 | c<<15
}

// The values are those of RFC 3720, B.4, which LevelDB's util/crc32c_test.cc
// has, too.
func TestChecksum(t *testing.T) {
	up, down := make([]byte, 32), make([]byte, 32)
	for i := range up {
		up[i], down[i] = byte(i), byte(31-i)
	}
	iscsi := []byte{
		0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0x14, 0, 0, 0, 0, 0, 0x04, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
		0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0,
	}
	for _, c := range []struct {
		name string
		b    []byte
		want uint32
	}{
		{"nothing", nil, 0},
		{"digits", []byte("123456789"), 0xe3069283},
		{"zeros", make([]byte, 32), 0x8a9136aa},
		{"ones", bytes.Repeat([]byte{0xff}, 32), 0x62a8ab43},
		{"up", up, 0x46dd794e},
		{"down", down, 0x113fdb5c},
		{"iscsi", iscsi, 0xd9963a56},
	} {
		if got := unmask(format.Checksum(c.b)); got != c.want {
			t.Errorf("%s: got %#x, want %#x", c.name, got, c.want)
		}
		for n := range c.b {
			if format.Checksum(c.b[:n], c.b[n:]...) != format.Checksum(c.b) {
				t.Errorf("%s: in two pieces, the first of %d bytes, it differs", c.name, n)
			}
		}
	}
	// Masked: of nothing it is not zero, so that zeros are no valid record.
	if got, want := format.Checksum(nil), uint32(0xa282ead8); got != want {
		t.Errorf("of nothing: got %#x, want %#x", got, want)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		if got, want := format.Checksum(b), util.NewCRC(b).Value(); got != want {
			t.Errorf("%x: got %#x, goleveldb %#x", b, got, want)
		}
	}
}
