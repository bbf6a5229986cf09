// Package dbtest gives tests directories for databases, and checks what they
// leave there.
package dbtest

import (
	"context"
	"errors"
	"testing"

	"github.com/levelparty/party"
)

// Dir returns an empty directory for a database, which is checked when the test
// ends: behind all that the test cleans up itself.
func Dir(t testing.TB) string {
	t.Helper()
	return Checked(t, t.TempDir())
}

// Checked has the database in dir checked when the test ends, if one is there by
// then, and returns dir.
func Checked(t testing.TB, dir string) string {
	t.Cleanup(func() {
		if err := Sound(dir); err != nil && !errors.Is(err, party.ErrNotExist) {
			t.Errorf("in the end: %v", err)
		}
	})
	return dir
}

// Sound returns nil if party check finds nothing wrong in dir.
func Sound(dir string) error {
	report, err := party.Check(context.Background(), dir)
	if err != nil {
		return err
	}
	return report.Err()
}
