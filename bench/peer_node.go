package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// nodePeer is an npm package: leader and workers are Node processes.
type nodePeer struct {
	peerInfo
	npm string // the package
	// leads, if not nil, is the Go peer whose server leads.
	leads *goPeer
}

var syncLost = map[string]string{
	"fillsync":    "guests' writes are not synced, though asked to be",
	"fillsync-16": "guests' writes are not synced, though asked to be",
}

var (
	raveLevelPeer = &nodePeer{npm: "rave-level", peerInfo: peerInfo{
		name:   "rave-level",
		about:  "rave-level 1.0.0 (Node), a process beside the leading one",
		color:  "#3f9c6b",
		cannot: syncLost,
	}}
	levelPartyPeer = &nodePeer{npm: "level-party", peerInfo: peerInfo{
		name:   "level-party",
		about:  "level-party 5.1.1 (Node), a process beside the leading one",
		color:  "#96cbae",
		cannot: syncLost,
	}}
	// A Node process gains, too, where a Go process leads.
	raveOnPartyPeer = &nodePeer{npm: "rave-level", leads: partyPeer, peerInfo: peerInfo{
		name:   "rave-on-party",
		about:  "rave-level 1.0.0 (Node), a process beside a leading Go process that uses party",
		color:  "#c9a227",
		cannot: syncLost,
	}}
)

func init() {
	for _, p := range []*nodePeer{raveLevelPeer, levelPartyPeer} {
		p.taker = func(b *bench, dir string) *exec.Cmd { return b.node("take.js", p.npm, dir, itoa(b.killKeys)) }
		p.victims = []victim{leading}
		p.guests = func(b *bench, dir string, n int) *exec.Cmd { return b.node("guests.js", p.npm, dir, itoa(n)) }
	}
}

// node runs a script of the directory node.
func (b *bench) node(script string, args ...string) *exec.Cmd {
	cmd := exec.Command("node", append([]string{filepath.Join("node", script)}, args...)...)
	cmd.Env = append(os.Environ(), "NODE_PATH="+b.modules)
	return cmd
}

func (p *nodePeer) info() peerInfo { return p.peerInfo }

func (p *nodePeer) available(b *bench) error {
	if _, err := exec.LookPath("node"); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(b.modules, p.npm)); err != nil {
		return fmt.Errorf("its npm package is not installed (npm ci in interop)")
	}
	return nil
}

func (p *nodePeer) prepare(b *bench, dir string, keys int) error {
	return b.copyTemplate(dir, goleveldbPeer.name, keys)
}

func (p *nodePeer) server(b *bench, dir string, keys int) *exec.Cmd {
	if p.leads != nil {
		return p.leads.server(b, dir, keys)
	}
	return b.node("serve.js", p.npm, dir)
}

func (p *nodePeer) worker(b *bench, dir, job string) *exec.Cmd {
	return b.node("work.js", p.npm, dir, job)
}
