package main

import (
	"errors"
	"os"
	"os/exec"
)

// peer is a way of using one database from several processes.
type peer interface {
	info() peerInfo
	// available says why the peer cannot be measured here, if it cannot.
	available(b *bench) error
	// prepare puts a database of keys keys into dir, which does not exist, as
	// far as that can be done before the server runs.
	prepare(b *bench, dir string, keys int) error
	// server is the process that must run for the workers; nil if there is
	// none.
	server(b *bench, dir string, keys int) *exec.Cmd
	// worker is a process that opens the database and does its job when it is
	// told "go".
	worker(b *bench, dir string, job string) *exec.Cmd
}

type peerInfo struct {
	name  string
	about string
	color string // in plots
	// alone says that one process cannot share the database with another, or is
	// not to.
	alone bool
	// cannot has the workloads the peer cannot do, and why not.
	cannot map[string]string
	// taker is the program that takes part in suite kill, if the peer does, and
	// victims whom that kills.
	taker   func(b *bench, dir string) *exec.Cmd
	victims []victim
	// guests is the program that holds idle handles, as the peer's part of
	// suite memory.
	guests func(b *bench, dir string, n int) *exec.Cmd
}

// allPeers, in the order of the report.
var allPeers = []peer{
	raveLevelPeer,
	levelPartyPeer,
	raveOnPartyPeer,
	sqlitePeer,
	lmdbPeer,
	redisPeer,
	redisLogPeer,
	goleveldbPeer,
	partyLeaderPeer,
	partyGuestPeer,
	partyPeer,
}

// usualPeers are those that are measured if none are named.
var usualPeers = []string{"rave-level", "sqlite", "lmdb", "redis", "redis-aof", "goleveldb", "party-leader", "party"}

func peerNames() (names []string) {
	for _, p := range allPeers {
		names = append(names, p.info().name)
	}
	return names
}

// client is a Go worker's access to a database. All but close are called by any
// number of goroutines at once. Slices passed in are not kept.
type client interface {
	get(key []byte) ([]byte, error)
	put(key, value []byte, sync bool) error
	// batch puts n pairs, all or none.
	batch(n int, pair func(i int) (key, value []byte)) error
	// scan visits all entries.
	scan(visit func(key, value []byte) (more bool)) error
	close() error
}

// pipeliner is a client that must be told which calls shall be under way
// together.
type pipeliner interface {
	gets(keys [][]byte) error
	puts(keys, values [][]byte) error
}

// goPeer is a peer whose processes are this program.
type goPeer struct {
	peerInfo
	missing func() error
	// filledBy is the peer that makes the database, in a process of its own; empty
	// if the server does.
	filledBy string
	// settle is called when dir has been filled.
	settle func(dir string) error
	// serve opens dir for others; its result ends that. It is nil if workers
	// need no server.
	serve   func(dir string, keys int) (stop func() error, err error)
	connect func(dir string, j job) (client, error)
}

func (p *goPeer) info() peerInfo { return p.peerInfo }

func (p *goPeer) available(*bench) error {
	if p.missing == nil {
		return nil
	}
	return p.missing()
}

func (p *goPeer) prepare(b *bench, dir string, keys int) error {
	if p.filledBy != "" {
		return b.copyTemplate(dir, p.filledBy, keys)
	}
	return os.Mkdir(dir, 0o700)
}

func (p *goPeer) server(b *bench, dir string, keys int) *exec.Cmd {
	if p.serve == nil {
		return nil
	}
	return exec.Command(b.self, "serve", p.name, dir, itoa(keys))
}

func (p *goPeer) worker(b *bench, dir, job string) *exec.Cmd {
	return p.command(b, "work", dir, job)
}

// command is a child of the peer in a role.
func (p *goPeer) command(b *bench, role, dir, job string) *exec.Cmd {
	return exec.Command(b.self, role, p.name, dir, job)
}

// findGoPeer is for children, which are told names.
func findGoPeer(name string) (*goPeer, error) {
	for _, p := range allPeers {
		if p, ok := p.(*goPeer); ok && p.name == name {
			return p, nil
		}
	}
	return nil, errors.New("no Go peer is named " + name)
}
