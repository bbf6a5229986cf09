package partytest

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// Seed returns the seed of a random test, and logs it: that of the environment,
// PARTY_SEED, or one of the moment.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano()) % 1e12
	if s := os.Getenv("PARTY_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("PARTY_SEED: %v", err)
		}
	}
	t.Logf("PARTY_SEED=%d", seed)
	return seed
}

// Random returns a source for Seed.
func Random(t testing.TB) *rand.Rand {
	t.Helper()
	return rand.New(rand.NewPCG(Seed(t), 0))
}
