package format

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum returns the CRC-32C of b and more, one behind the other, masked as
// LevelDB keeps it (google/leveldb util/crc32c.h): the checksum of data that
// holds checksums would else be a weak one. Part of the format, never change.
func Checksum(b []byte, more ...byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	if len(more) > 0 {
		c = crc32.Update(c, castagnoli, more)
	}
	return (c>>15 | c<<17) + 0xa282ead8
}
