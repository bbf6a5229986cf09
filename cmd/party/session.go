package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/levelparty/party"
)

// access is what a command is about to do, which says how it opens.
type access uint8

const (
	reading  access = iota // changes nothing; the database must exist
	changing               // writes; the database must exist
	creating               // writes; the database is created if need be
)

// dbFlags are the flags of every command that opens a database.
type dbFlags struct {
	timeout time.Duration
	sub     string
}

func (f *dbFlags) register(cmd *cobra.Command, sublevels bool) {
	if sublevels {
		cmd.Flags().StringVar(&f.sub, "sub", "", "work in sublevel `NAME`; a/b is sublevel b of sublevel a")
	}
	cmd.Flags().DurationVar(&f.timeout, "timeout", defaultTimeout, "how long to wait for an answer; 0 waits for ever")
	cmd.ValidArgsFunction = completeDir
}

// session is an open database with the context its calls are made in.
type session struct {
	db *party.DB
	// kv is where the command works: db, or the sublevel of --sub.
	kv       party.KV
	sub      *party.Sublevel // kv, if it is one
	ctx      context.Context
	patience *patience
}

// with opens dir, calls f and closes it again, whatever happens.
func (f *dbFlags) with(cmd *cobra.Command, dir string, a access, do func(*session) error) (err error) {
	ctx, p := withPatience(cmd.Context(), f.timeout)
	defer p.stop()
	s := &session{ctx: ctx, patience: p}
	o := &party.Options{
		ReadOnly:  a == reading,
		MustExist: a != creating,
		Lead:      party.LeadLast,
		// A little less than the timeout, whose message says less.
		LockTimeout: f.timeout - f.timeout/8,
	}
	if f.timeout <= 0 {
		o.LockTimeout = -1
	}
	if err := f.open(s, dir, o); err != nil {
		return err
	}
	defer func() {
		if e := s.db.Close(); err == nil {
			err = e
		}
	}()
	return s.explain(do(s))
}

func (f *dbFlags) open(s *session, dir string, o *party.Options) error {
	if dir == "" {
		return usagef("the directory is empty")
	}
	err := s.wait(func() (err error) {
		s.db, err = party.Open(s.ctx, dir, o)
		return err
	})
	if err != nil {
		return explainOpen(dir, err)
	}
	s.kv = s.db
	if f.sub == "" {
		return nil
	}
	if err := s.descend(f.sub); err != nil {
		s.db.Close()
		return err
	}
	return nil
}

// descend makes path, names with slashes between, the place to work in.
func (s *session) descend(path string) error {
	within := s.db.Sublevel
	for name := range strings.SplitSeq(path, "/") {
		sub, err := within(name)
		if err != nil {
			return usageError{hintf(err, "a sublevel's name has letters, digits and signs other than ! and \"")}
		}
		within, s.kv, s.sub = sub.Sublevel, sub, sub
	}
	return nil
}

// wait calls f, which may wait for the leader, within the limits of patience.
func (s *session) wait(f func() error) error {
	s.patience.enter()
	err := f()
	s.patience.leave()
	return s.explain(err)
}

// explain replaces "context canceled" by the reason for it.
func (s *session) explain(err error) error {
	if _, done := errors.AsType[timeoutError](err); done || !errors.Is(err, context.Canceled) {
		return err
	}
	cause := context.Cause(s.ctx)
	if t, ok := cause.(timeoutError); ok {
		t.err = err
		return t
	}
	if cause != nil {
		return cause
	}
	return err
}

// each calls f for the entries o selects, in order. The slices of an entry are
// valid until f returns.
func (s *session) each(r party.Reader, o party.IteratorOptions, f func(key, value []byte) error) error {
	it := r.Iterator(s.ctx, o)
	defer it.Close()
	for {
		s.patience.enter()
		ok := it.Next()
		s.patience.leave()
		if !ok {
			return s.explain(it.Err())
		}
		if err := f(it.Key(), it.Value()); err != nil {
			return err
		}
		// An iterator that has its entries at hand need not look.
		if err := context.Cause(s.ctx); err != nil {
			return err
		}
	}
}

// global returns r, a range of kv, as a range of the whole database.
func (s *session) global(r party.Range) party.Range {
	if s.sub == nil {
		return r
	}
	return s.sub.Range(r)
}

// globalKey returns key, one of kv, as a key of the whole database.
func (s *session) globalKey(key []byte) []byte {
	if s.sub == nil {
		return append([]byte{}, key...)
	}
	return s.sub.Key(key)
}
