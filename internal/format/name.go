package format

import (
	"fmt"
	"strconv"
	"strings"
)

// FileKind tells the files of a database directory apart.
type FileKind uint8

const (
	FileLog FileKind = iota
	FileTable
	FileManifest
	FileMem // a shared memtable, transient
	FileTemp
)

// LogName returns the name of a log.
func LogName(n FileNum) string { return fmt.Sprintf("%06d.log", n) }

// TableName returns the name of a table as it is written today.
func TableName(n FileNum) string { return fmt.Sprintf("%06d.ldb", n) }

// OldTableName returns the name that LevelDB gave tables before version 1.14.
func OldTableName(n FileNum) string { return fmt.Sprintf("%06d.sst", n) }

// ManifestName returns the name of a manifest.
func ManifestName(n FileNum) string { return fmt.Sprintf("MANIFEST-%06d", n) }

// MemName returns the name of the shared memtable that belongs to log n.
func MemName(n FileNum) string { return fmt.Sprintf("%06d.mem", n) }

// TempName returns the name of a file that is to be renamed.
func TempName(n FileNum) string { return fmt.Sprintf("%06d.dbtmp", n) }

// ParseFileName tells what file a name is of. Names without a number, such as
// CURRENT, and foreign ones are not ok.
func ParseFileName(name string) (kind FileKind, n FileNum, ok bool) {
	digits := ""
	if rest, found := strings.CutPrefix(name, "MANIFEST-"); found {
		kind, digits = FileManifest, rest
	} else {
		stem, ext, found := strings.Cut(name, ".")
		if !found {
			return 0, 0, false
		}
		digits = stem
		switch ext {
		case "log":
			kind = FileLog
		case "ldb", "sst":
			kind = FileTable
		case "mem":
			kind = FileMem
		case "dbtmp":
			kind = FileTemp
		default:
			return 0, 0, false
		}
	}
	if digits == "" || digits[0] < '0' || digits[0] > '9' {
		return 0, 0, false // ParseUint takes a sign
	}
	num, err := strconv.ParseUint(digits, 10, 63)
	return kind, FileNum(num), err == nil
}
