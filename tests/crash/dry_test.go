//go:build unix

package crash

import (
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/levelparty/party/internal/dbtest"
)

const (
	// dryBatches is how many batches a victim writes that is only watched.
	dryBatches = 400
	// dryHits is how many hits of a failpoint are enough to choose from.
	dryHits = 400
)

// reach says how often the victim of a scenario came to a step when it was
// watched: by the names of both.
type reach map[string]map[string]int

// watch carries all scenarios out, but for the deaths.
func watch(t *testing.T) reach {
	all := make(reach)
	var mu sync.Mutex
	t.Run("watch", func(t *testing.T) {
		for i, s := range scenarios {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				r := &run{t: t, scenario: s, rnd: rand.New(rand.NewPCG(1, uint64(i))), dir: dbtest.Checked(t, filepath.Join(t.TempDir(), "db"))}
				hits, err := r.dry()
				if err != nil {
					t.Fatal(err)
				}
				mu.Lock()
				defer mu.Unlock()
				for point, n := range hits {
					if all[point] == nil {
						all[point] = make(map[string]int)
					}
					all[point][s.name] = min(n, dryHits)
				}
			})
		}
	})
	return all
}

// choose returns a scenario in which the step is come to, and at which time
// the victim shall die there.
func (a reach) choose(point string, rnd *rand.Rand) (s scenario, n int, ok bool) {
	names := slices.Sorted(maps.Keys(a[point]))
	if len(names) == 0 {
		return s, 0, false
	}
	name := names[rnd.IntN(len(names))]
	s, _ = find(name)
	return s, 1 + rnd.IntN(a[point][name]), true
}

// dry carries the scenario out, but for the death of the victim. It returns how
// often that came to each step.
func (r *run) dry() (hits map[string]int, err error) {
	defer func() { err = r.strike(err) }()
	v, err := r.stage("")
	if err != nil {
		return nil, err
	}
	r.living = append(r.living, v)
	if err := r.dead(); err != nil {
		return nil, err
	}
	if !r.end {
		if err := r.batches(v, dryBatches); err != nil {
			return nil, err
		}
		v.Order(orderHits)
	}
	if err := v.until(v.counted); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return v.count, nil
}
