package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis, on a unix socket. Calls in flight are one pipeline, which is the fastest
// way its client has; a batch is an MSET, which is atomic; a scan is SCAN and
// MGET in turn, whose entries come in no order and from no single state.

// redisPeer keeps everything in memory: a process that dies loses it all.
var redisPeer = newRedisPeer("redis", "Redis without persistence", "#d9544d", map[string]string{
	"fillsync":    "nothing is written to disk",
	"fillsync-16": "nothing is written to disk",
}, "--appendonly", "no")

// redisLogPeer promises what LevelDB promises without sync: the append-only
// file is written, and synced when the system sees fit or, for synced puts,
// each time.
var redisLogPeer = newRedisPeer("redis-aof", "Redis with an append-only file, synced as LevelDB's log is", "#e89a94", nil,
	"--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0")

func newRedisPeer(name, about, color string, cannot map[string]string, mode ...string) *goPeer {
	return &goPeer{
		peerInfo: peerInfo{name: name, about: about, color: color, cannot: cannot},
		missing: func() error {
			_, err := exec.LookPath("redis-server")
			return err
		},
		serve: func(dir string, keys int) (func() error, error) { return serveRedis(dir, keys, mode) },
		connect: func(dir string, j job) (client, error) {
			c := newRedisClient(dir, j.InFlight)
			if j.Sync {
				if err := c.db.ConfigSet(c.ctx, "appendfsync", "always").Err(); err != nil {
					return nil, err
				}
			}
			return c, c.db.Ping(c.ctx).Err()
		},
	}
}

func serveRedis(dir string, keys int, mode []string) (stop func() error, err error) {
	cmd := exec.Command("redis-server", append([]string{"--port", "0", "--unixsocket", redisSocket(dir),
		"--dir", dir, "--save", "", "--loglevel", "warning"}, mode...)...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() error {
		_ = cmd.Process.Kill() // its files are not needed any more
		_ = cmd.Wait()
		return nil
	}
	c := newRedisClient(dir, 1)
	defer c.close()
	if err := c.fill(keys); err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

func redisSocket(dir string) string { return filepath.Join(dir, "redis.sock") }

type redisClient struct {
	ctx context.Context
	db  *redis.Client
}

func newRedisClient(dir string, inFlight int) *redisClient {
	return &redisClient{context.Background(), redis.NewClient(&redis.Options{
		Network: "unix", Addr: redisSocket(dir), PoolSize: inFlight,
	})}
}

// fill waits for the server and puts the keys there.
func (c *redisClient) fill(keys int) error {
	deadline := time.Now().Add(10 * time.Second)
	for c.db.Ping(c.ctx).Err() != nil {
		if time.Now().After(deadline) {
			return errors.New("redis-server does not answer")
		}
		time.Sleep(10 * time.Millisecond)
	}
	v := newValues(1)
	for first := 0; first < keys; first += 1000 {
		err := c.batch(min(1000, keys-first), func(i int) (key, value []byte) {
			return appendKey(nil, first+i), v.at(first + i)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *redisClient) get(key []byte) ([]byte, error) { return c.db.Get(c.ctx, string(key)).Bytes() }

func (c *redisClient) put(key, value []byte, _ bool) error {
	return c.db.Set(c.ctx, string(key), value, 0).Err()
}

func (c *redisClient) gets(keys [][]byte) error {
	_, err := c.db.Pipelined(c.ctx, func(p redis.Pipeliner) error {
		for _, key := range keys {
			p.Get(c.ctx, string(key))
		}
		return nil
	})
	return err
}

func (c *redisClient) puts(keys, values [][]byte) error {
	_, err := c.db.Pipelined(c.ctx, func(p redis.Pipeliner) error {
		for i, key := range keys {
			p.Set(c.ctx, string(key), values[i], 0)
		}
		return nil
	})
	return err
}

func (c *redisClient) batch(n int, pair func(int) (key, value []byte)) error {
	pairs := make([]any, 0, 2*n)
	for i := range n {
		key, value := pair(i)
		pairs = append(pairs, string(key), value)
	}
	return c.db.MSet(c.ctx, pairs...).Err()
}

func (c *redisClient) scan(visit func(key, value []byte) bool) error {
	for cursor := uint64(0); ; {
		keys, next, err := c.db.Scan(c.ctx, cursor, "", 1000).Result()
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			values, err := c.db.MGet(c.ctx, keys...).Result()
			if err != nil {
				return err
			}
			for i, value := range values {
				s, ok := value.(string)
				if !ok {
					return fmt.Errorf("value of %s: %T", keys[i], value)
				}
				if !visit([]byte(keys[i]), []byte(s)) {
					return nil
				}
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

func (c *redisClient) close() error { return c.db.Close() }
