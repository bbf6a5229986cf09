package dbtest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/levelparty/party"
	"github.com/levelparty/party/internal/dbtest"
)

// recorder is a test that is watched.
type recorder struct {
	testing.TB
	cleanups []func()
	failed   bool
}

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

func (r *recorder) Errorf(format string, args ...any) {
	r.Logf(format, args...)
	r.failed = true
}

func (r *recorder) end() {
	for _, f := range r.cleanups {
		f()
	}
}

// Property: a test fails if what it leaves is damaged, and not if it is sound, if
// somebody has it open, or if there is nothing.
func TestDir(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(t *testing.T, dir string)
		fail bool
	}{
		"nothing": {do: func(*testing.T, string) {}},
		"sound":   {do: func(t *testing.T, dir string) { fill(t, dir).Close() }},
		"open": {do: func(t *testing.T, dir string) {
			db := fill(t, dir)
			t.Cleanup(func() { db.Close() })
		}},
		"damaged": {fail: true, do: func(t *testing.T, dir string) {
			fill(t, dir).Close()
			tables, err := filepath.Glob(filepath.Join(dir, "*.ldb"))
			if err != nil || len(tables) == 0 {
				t.Fatalf("tables %v, %v", tables, err)
			}
			if err := os.Truncate(tables[0], 100); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{TB: t}
			test.do(t, dbtest.Dir(r))
			r.end()
			if r.failed != test.fail {
				t.Errorf("failed %v, want %v", r.failed, test.fail)
			}
		})
	}
}

func fill(t *testing.T, dir string) *party.DB {
	t.Helper()
	ctx := context.Background()
	db, err := party.Open(ctx, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(db.Put(ctx, []byte("key"), make([]byte, 1000)), db.CompactRange(ctx, party.Range{}))
	if err != nil {
		t.Fatal(err)
	}
	return db
}
