package goleveldb_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/levelparty/party/goleveldb"
)

// fill writes some entries that do not compress, into several tables.
func fill(t *testing.T, db interface {
	Put(key, value []byte, wo *opt.WriteOptions) error
	CompactRange(r util.Range) error
}) {
	t.Helper()
	value := make([]byte, 10<<10)
	for i := range 500 {
		for j := range value {
			value[j] = byte(rand.Uint32())
		}
		if err := db.Put(fmt.Appendf(nil, "%06d", i), value, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.CompactRange(util.Range{}); err != nil {
		t.Fatal(err)
	}
}

func TestStats(t *testing.T) {
	inRoles(t, func(t *testing.T, db *goleveldb.DB) {
		fill(t, db)
		snap, err := db.GetSnapshot()
		if err != nil {
			t.Fatal(err)
		}
		defer snap.Release()
		it := db.NewIterator(nil, nil)
		defer it.Release()
		it.Next()

		s := leveldb.DBStats{LevelSizes: leveldb.Sizes{1 << 40}, SeekComp: 99} // of before
		if err := db.Stats(&s); err != nil {
			t.Fatal(err)
		}
		n := len(s.LevelSizes)
		tables := 0
		for _, c := range s.LevelTablesCounts {
			tables += c
		}
		var busy time.Duration
		for _, d := range s.LevelDurations {
			busy += d
		}
		const written = 500 * 10 << 10
		for what, ok := range map[string]bool{
			"levels": n > 0 && len(s.LevelTablesCounts) == n && len(s.LevelRead) == n && len(s.LevelWrite) == n && len(s.LevelDurations) == n,
			"tables": tables > 1 && s.LevelSizes.Sum() > written && s.LevelSizes.Sum() < 2*written,
			"work":   s.LevelWrite.Sum() > written && s.IOWrite > 2*written && busy > 0 && s.MemComp > 0 && s.SeekComp == 0,
			"caches": s.OpenedTablesCount > 0,
			"alive":  s.AliveSnapshots >= 1 && s.AliveIterators >= 1 && s.AliveSnapshots < 10 && s.AliveIterators < 10,
		} {
			if !ok {
				t.Errorf("%s: %+v", what, s)
			}
		}

		sizes, err := db.SizeOf([]util.Range{
			{Limit: []byte("1")}, {Start: []byte("000250"), Limit: []byte("1")}, {Start: []byte("1"), Limit: []byte("2")},
		})
		if err != nil {
			t.Fatal(err)
		}
		if sizes[0] < written || sizes[1] < written/3 || sizes[1] > written*2/3 || sizes[2] != 0 {
			t.Errorf("sizes %v", sizes)
		}
		if text, err := db.GetProperty("leveldb.num-files-at-level0"); err != nil || text != fmt.Sprint(s.LevelTablesCounts[0]) {
			t.Errorf("level 0: %q, %v, want %d", text, err, s.LevelTablesCounts[0])
		}
	})
}

// Property: what the text of the statistics tells is what goleveldb counts.
func TestScanLevels(t *testing.T) {
	db, err := leveldb.OpenFile(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	fill(t, db)
	var want leveldb.DBStats
	if err := db.Stats(&want); err != nil {
		t.Fatal(err)
	}
	text, err := db.GetProperty("leveldb.stats")
	if err != nil {
		t.Fatal(err)
	}
	n := len(want.LevelSizes)
	got := leveldb.DBStats{
		LevelSizes: want.LevelSizes, LevelRead: make(leveldb.Sizes, n), LevelWrite: make(leveldb.Sizes, n),
		LevelDurations: make([]time.Duration, n),
	}
	goleveldb.ScanLevels(&got, text)
	near := func(a, b, within int64) bool { return a-b <= within && b-a <= within }
	for i := range n {
		if !near(got.LevelRead[i], want.LevelRead[i], 6) || !near(got.LevelWrite[i], want.LevelWrite[i], 6) ||
			!near(int64(got.LevelDurations[i]), int64(want.LevelDurations[i]), 6000) {
			t.Errorf("level %d: %d, %d, %v; goleveldb counts %d, %d, %v", i, got.LevelRead[i], got.LevelWrite[i], got.LevelDurations[i],
				want.LevelRead[i], want.LevelWrite[i], want.LevelDurations[i])
		}
	}
}

// Property: the leader holds nothing any more for snapshots and iterators that
// were released, or forgotten.
func TestNothingIsLeft(t *testing.T) {
	inRoles(t, func(t *testing.T, db *goleveldb.DB) {
		put(t, db, "k", "v")
		for i := range 100 {
			snap, err := db.GetSnapshot()
			if err != nil {
				t.Fatal(err)
			}
			its := []interface {
				Next() bool
				Release()
			}{snap.NewIterator(nil, nil), snap.NewIterator(nil, nil), db.NewIterator(nil, nil), db.NewIterator(nil, nil)}
			its[0].Next()
			its[2].Next()
			if i%2 == 0 {
				continue
			}
			snap.Release()
			for _, it := range its {
				it.Release()
			}
		}
		var s leveldb.DBStats
		for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
			runtime.GC()
			if err := db.Stats(&s); err != nil {
				t.Fatal(err)
			}
			if s.AliveSnapshots == 0 && s.AliveIterators == 0 {
				break
			}
			if time.Since(start) > 10*time.Second {
				t.Fatalf("%d snapshots and %d iterators are left", s.AliveSnapshots, s.AliveIterators)
			}
		}
	})
}
