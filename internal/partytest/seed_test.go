package partytest_test

import (
	"fmt"
	"testing"

	"github.com/levelparty/party/internal/partytest"
)

// recorder is a test that is watched.
type recorder struct {
	testing.TB
	log, fatal string
}

func (r *recorder) Logf(format string, args ...any) { r.log = fmt.Sprintf(format, args...) }

func (r *recorder) Fatalf(format string, args ...any) {
	r.fatal = fmt.Sprintf(format, args...)
	panic(r)
}

// Property: a seed is that of the environment, and is logged as it stands there;
// what is no number ends the test.
func TestSeed(t *testing.T) {
	for set, ok := range map[string]bool{"0": true, "7": true, "18446744073709551615": true, "-1": false, "x": false, "7 ": false} {
		t.Run(set, func(t *testing.T) {
			t.Setenv("PARTY_SEED", set)
			r := &recorder{TB: t}
			defer func() {
				if recover(); (r.fatal == "") != ok {
					t.Errorf("ended with %q", r.fatal)
				}
			}()
			seed := partytest.Seed(r)
			if want := "PARTY_SEED=" + set; r.log != want || fmt.Sprint(seed) != set {
				t.Errorf("seed %d, logged %q, want %q", seed, r.log, want)
			}
			if a, b := partytest.Random(r).Uint64(), partytest.Random(r).Uint64(); a != b {
				t.Error("one seed, two sources")
			}
		})
	}
}

// Property: without one in the environment each test has another seed, and the
// one that it logs.
func TestSeedOfTheMoment(t *testing.T) {
	t.Setenv("PARTY_SEED", "")
	r := &recorder{TB: t}
	first := partytest.Seed(r)
	if want := fmt.Sprintf("PARTY_SEED=%d", first); r.log != want {
		t.Errorf("logged %q, want %q", r.log, want)
	}
	for partytest.Seed(r) == first { // the clock goes on
	}
}
