//go:build linux

package coord_test

import (
	"context"
	"testing"

	"github.com/levelparty/party/internal/format"
	"github.com/levelparty/party/internal/vfs"
)

func BenchmarkSeq(b *testing.B) {
	c := open(b, b.TempDir())
	var sum uint64
	for b.Loop() {
		seq, epoch := c.Seq()
		sum += uint64(seq) + epoch
	}
	_ = sum
}

func BenchmarkState(b *testing.B) {
	c := open(b, b.TempDir())
	for b.Loop() {
		_ = c.State()
	}
}

// A write's share: lock, read the state, publish a new one, unlock.
func BenchmarkPublish(b *testing.B) {
	c := open(b, b.TempDir())
	ctx := context.Background()
	s := c.State()
	for b.Loop() {
		if _, err := c.Lock(ctx); err != nil {
			b.Fatal(err)
		}
		s.Seq++
		s.LogLen += 100
		c.Publish(s)
		c.Unlock()
	}
}

func BenchmarkGuardedPublish(b *testing.B) {
	c := open(b, b.TempDir())
	ctx := context.Background()
	s := c.State()
	for b.Loop() {
		err := vfs.Guard(func() error {
			if _, err := c.Lock(ctx); err != nil {
				return err
			}
			s.Seq++
			s.LogLen += 100
			c.Publish(s)
			c.Unlock()
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCount(b *testing.B) {
	c := open(b, b.TempDir())
	for b.Loop() {
		c.Count(1, 1)
	}
}

func BenchmarkOpenLeave(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		c := open(b, dir)
		if err := c.Leave(nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJoinLeave(b *testing.B) {
	dir := b.TempDir()
	open(b, dir)
	for b.Loop() {
		c := open(b, dir)
		if err := c.Leave(nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSyncDurable(b *testing.B) {
	c := open(b, b.TempDir())
	ctx := context.Background()
	if err := c.Sync(ctx, format.FileNum(1), 1, func() error { return nil }); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		_ = c.Sync(ctx, 1, 1, nil)
	}
}
