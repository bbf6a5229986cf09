package format_test

import (
	"testing"

	"github.com/levelparty/party/internal/format"
)

func TestNames(t *testing.T) {
	for _, c := range []struct {
		make func(format.FileNum) string
		kind format.FileKind
		five string
		long string
	}{
		{format.LogName, format.FileLog, "000005.log", "1234567.log"},
		{format.TableName, format.FileTable, "000005.ldb", "1234567.ldb"},
		{format.OldTableName, format.FileTable, "000005.sst", "1234567.sst"},
		{format.ManifestName, format.FileManifest, "MANIFEST-000005", "MANIFEST-1234567"},
		{format.MemName, format.FileMem, "000005.mem", "1234567.mem"},
		{format.TempName, format.FileTemp, "000005.dbtmp", "1234567.dbtmp"},
	} {
		for n, want := range map[format.FileNum]string{5: c.five, 1234567: c.long} {
			name := c.make(n)
			kind, back, ok := format.ParseFileName(name)
			if name != want || kind != c.kind || back != n || !ok {
				t.Errorf("%d: got %q, want %q, parsed as %d %d %v", n, name, want, kind, back, ok)
			}
		}
	}
}

// The names are those of LevelDB's db/filename_test.cc, and some more.
func TestParseFileName(t *testing.T) {
	for _, c := range []struct {
		name string
		kind format.FileKind
		n    format.FileNum
	}{
		{"100.log", format.FileLog, 100},
		{"0.log", format.FileLog, 0},
		{"0.sst", format.FileTable, 0},
		{"0.ldb", format.FileTable, 0},
		{"MANIFEST-2", format.FileManifest, 2},
		{"MANIFEST-0000000000000000000000007", format.FileManifest, 7},
		{"9223372036854775807.log", format.FileLog, 1<<63 - 1},
	} {
		if kind, n, ok := format.ParseFileName(c.name); !ok || kind != c.kind || n != c.n {
			t.Errorf("%s: got %d %d %v", c.name, kind, n, ok)
		}
	}
	for _, name := range []string{
		"", "foo", "foo-dx-100.log", ".log", "manifest", "CURREN", "CURRENTX", "MANIFES", "MANIFEST", "MANIFEST-",
		"XMANIFEST-3", "MANIFEST-3x", "LOC", "LOCKx", "LO", "LOGx", "18446744073709551616.log", "184467440737095516150.log",
		"100", "100.", "100.lop",
		"CURRENT", "LOCK", "LOG", "LOG.old", "party.shm", "party.once", "level-party.sock",
		"+1.log", "-1.log", " 1.log", "1 .log", "1_0.log", "0x1.log", "1e3.log", "1.log.tmp", "1.log ", "1.LOG",
		"MANIFEST-+1", "MANIFEST--1", "MANIFEST-1.log", "9223372036854775808.log", "\u0661.log", "dir/1.log",
	} {
		if kind, n, ok := format.ParseFileName(name); ok {
			t.Errorf("%q: got %d %d", name, kind, n)
		}
	}
}
