//go:build linux

package soak

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/levelparty/party"
	"github.com/levelparty/party/tests/linear"
)

// Property 10: the check finds nothing wrong while processes work and die; and
// short histories of processes in another directory, while this one keeps the
// machine busy, are linearizable.

// live looks on, about once a minute.
func (r *run) live(t *testing.T) {
	for n := uint64(0); r.ctx.Err() == nil; n++ {
		r.checkLive()
		if len(linear.Ways) > 0 && r.ctx.Err() == nil {
			r.campaign(t, linear.Ways[(r.seed+n)%uint64(len(linear.Ways))], r.seed+n)
		}
		r.sleep(r.pick(time.Minute, 3*time.Second))
	}
}

func (r *run) checkLive() {
	r.dead.Lock()
	defer r.dead.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	rep, err := party.Check(ctx, r.dir)
	if err == nil {
		err = rep.Err()
	}
	switch {
	case err == nil:
		r.count(func(t *tally) { t.live++ })
	case errors.Is(err, party.ErrLocked): // a leader that is alone
		r.count(func(t *tally) { t.refused++ })
	default:
		r.lie("live check: %v", err)
	}
}

// campaign runs one campaign of tests/linear.
func (r *run) campaign(t *testing.T, way linear.Way, seed uint64) {
	t.Run("linear", func(t *testing.T) {
		did, failure := linear.Run(t, linear.Config{Way: way, Out: *outFlag, CheckTime: 10 * time.Second}, seed)
		r.count(func(t *tally) {
			t.histories += did.Histories
			t.doubtful += did.Undecided
		})
		if failure != nil {
			r.lie("not linearizable: %s: %s", failure.Text, failure.Dir)
		} else if t.Failed() {
			r.lie("a campaign of tests/linear failed: way %s, seed %d", way.Name, seed)
		}
	})
	if !t.Failed() {
		_ = os.Remove(*outFlag) // if it is empty
	}
}
