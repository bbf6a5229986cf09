package main

import (
	"bytes"

	"github.com/spf13/cobra"

	"github.com/levelparty/party"
)

// rangeFlags select keys.
type rangeFlags struct {
	gt, gte, lt, lte, prefix string
	reverse                  bool
	limit                    int
	cmd                      *cobra.Command
}

// register adds the bounds, and with order also the flags that need one.
func (f *rangeFlags) register(cmd *cobra.Command, order bool) {
	f.cmd = cmd
	flags := cmd.Flags()
	flags.StringVar(&f.gt, "gt", "", "keys greater than `KEY`")
	flags.StringVar(&f.gte, "gte", "", "keys from `KEY` on")
	flags.StringVar(&f.lt, "lt", "", "keys less than `KEY`")
	flags.StringVar(&f.lte, "lte", "", "keys up to `KEY`")
	flags.StringVar(&f.prefix, "prefix", "", "keys that begin with `PREFIX`")
	if order {
		flags.BoolVarP(&f.reverse, "reverse", "r", false, "from the greatest key down")
		flags.IntVarP(&f.limit, "limit", "n", 0, "at most `N` entries")
	}
}

// selects reports whether a bound is given.
func (f *rangeFlags) selects() bool {
	for _, name := range []string{"gt", "gte", "lt", "lte", "prefix"} {
		if f.cmd.Flags().Changed(name) {
			return true
		}
	}
	return false
}

// parse returns the bounds. All of them hold, so a prefix narrows the others.
func (f *rangeFlags) parse(formats *formatFlags) (party.Range, error) {
	var r party.Range
	if f.limit < 0 {
		return r, usagef("--limit %d: want 0 or more", f.limit)
	}
	for _, b := range []struct {
		name, arg string
		bound     *[]byte
	}{
		{"gt", f.gt, &r.GT}, {"gte", f.gte, &r.GTE}, {"lt", f.lt, &r.LT}, {"lte", f.lte, &r.LTE},
	} {
		if !f.cmd.Flags().Changed(b.name) {
			continue
		}
		key, err := formats.parseKey(b.arg)
		if err != nil {
			return r, usagef("--%s: %w", b.name, err)
		}
		*b.bound = append([]byte{}, key...) // an empty bound is not nil
	}
	if !f.cmd.Flags().Changed("prefix") {
		return r, nil
	}
	// The beginning of a JSON text is seldom one itself.
	kf := formats.key()
	if kf == jsonFormat {
		kf = text
	}
	prefix, err := kf.parse([]byte(f.prefix))
	if err != nil {
		return r, usagef("--prefix: %w", err)
	}
	if r.GTE == nil || bytes.Compare(prefix, r.GTE) > 0 {
		r.GTE = append([]byte{}, prefix...)
	}
	if end := successor(prefix); end != nil && (r.LT == nil || bytes.Compare(end, r.LT) < 0) {
		r.LT = end
	}
	return r, nil
}

// options returns what an iterator visits.
func (f *rangeFlags) options(formats *formatFlags) (party.IteratorOptions, error) {
	r, err := f.parse(formats)
	return party.IteratorOptions{Range: r, Reverse: f.reverse, Limit: f.limit}, err
}

// successor returns the smallest key greater than all that begin with prefix,
// or nil if there is none.
func successor(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := append([]byte{}, prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}
