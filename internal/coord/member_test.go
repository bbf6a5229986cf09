//go:build linux

package coord_test

import (
	"os"
	"testing"
	"time"
)

func TestPins(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	if got := a.OldestPin(); got != 0 {
		t.Errorf("who has just joined protects nothing: %d", got)
	}
	a.SetPin(9)
	if got := a.OldestPin(); got != 0 {
		t.Errorf("%d", got)
	}
	b.SetPin(7)
	if got := a.OldestPin(); got != 7 {
		t.Errorf("%d, want 7", got)
	}
	p, _ := startMember(t, dir)
	if got := a.OldestPin(); got != 0 {
		t.Errorf("%d, want 0", got)
	}
	p.Kill()
	if got := a.OldestPin(); got != 7 {
		t.Errorf("the dead protect: %d", got)
	}
	b.Leave(nil)
	if got := a.OldestPin(); got != 9 {
		t.Errorf("%d, want 9", got)
	}
}

// Property: there is one leader at most, it is known, and its death makes room.
func TestLeader(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	if m, ok := c.Leader(); ok {
		t.Errorf("leader %+v", m)
	}
	p, _ := startMember(t, dir)
	var ok bool
	p.Order("lead")
	if p.Expect(&ok); !ok {
		t.Error("nobody leads, and it cannot")
	}
	if ok, err := c.TryLead(); ok || err != nil {
		t.Errorf("two leaders: %v, %v", ok, err)
	}
	if m, ok := c.Leader(); !ok || m.PID != p.PID() || !m.Leader || time.Since(c.LeaderSince()) > time.Minute {
		t.Errorf("leader %+v, %v", m, ok)
	}
	p.Kill()
	if m, ok := c.Leader(); ok {
		t.Errorf("a dead leader %+v", m)
	}
	for range 2 {
		if ok, err := c.TryLead(); !ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
	}
	c.Announce()
	if m, ok := c.Leader(); !ok || !m.Self {
		t.Errorf("leader %+v, %v", m, ok)
	}
	c.Resign()
	c.Resign()
	p, _ = startMember(t, dir)
	p.Order("lead")
	if p.Expect(&ok); !ok {
		t.Error("the leader resigned, and it cannot lead")
	}
}

// Property: the next leader learns that the one before died inside the write lock,
// also if who took the lock over from it died on the spot.
func TestLeaderDiesWriting(t *testing.T) {
	for heirs := range 3 {
		dir := t.TempDir()
		c := open(t, dir)
		p, _ := startMember(t, dir)
		var ok bool
		p.Order("lead")
		p.Expect(&ok)
		p.Order("lock")
		p.Expect(&ok)
		p.Kill()
		for range heirs {
			open(t, dir).DieTakingOver()
			open(t, dir) // takes no slot that tells
		}
		if _, cut := c.LeaderCut(); cut {
			t.Error("cut before the repair")
		}
		if dead, err := c.Lock(t.Context()); !dead || err != nil {
			t.Fatal(dead, err)
		}
		c.Repaired(41)
		c.Unlock()
		// If all die before there is a next leader, the first to come is told.
		all := t.TempDir()
		if err := os.CopyFS(all, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if seq, cut := open(t, all).LeaderCut(); !cut || seq != 41 {
			t.Errorf("%d heirs and all others died: cut at %d, %v", heirs, seq, cut)
		}
		if ok, err := c.TryLead(); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if seq, cut := c.LeaderCut(); !cut || seq != 41 {
			t.Errorf("%d heirs died: cut at %d, %v", heirs, seq, cut)
		}
		c.Announce()
		if _, cut := c.LeaderCut(); cut {
			t.Error("cut after the next leader is known")
		}
	}
}
