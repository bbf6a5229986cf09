package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPatience(t *testing.T) {
	const limit = 10 * time.Second
	t.Run("one long wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, p := withPatience(context.Background(), limit)
			defer p.stop()
			start := time.Now()
			p.enter()
			<-ctx.Done()
			if cause := context.Cause(ctx); cause != (timeoutError{limit: limit}) {
				t.Errorf("cause %v, want a timeout", cause)
			}
			if d := time.Since(start); d < limit*9/10 || d > limit*12/10 {
				t.Errorf("ended after %v, want about %v", d, limit)
			}
		})
	})
	t.Run("many short waits, and long work", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, p := withPatience(context.Background(), limit)
			defer p.stop()
			for range 10 {
				p.enter()
				time.Sleep(limit / 2)
				p.leave()
				time.Sleep(2 * limit)
			}
			if ctx.Err() != nil {
				t.Errorf("ended: %v", context.Cause(ctx))
			}
		})
	})
	t.Run("no limit", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, p := withPatience(context.Background(), 0)
			defer p.stop()
			p.enter()
			time.Sleep(24 * time.Hour)
			if ctx.Err() != nil {
				t.Errorf("ended: %v", context.Cause(ctx))
			}
		})
	})
}
