package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/levelparty/party"
)

func newBatch() *cobra.Command {
	var (
		db      dbFlags
		formats formatFlags
		chunk   int
		sync    bool
		asJSON  bool
	)
	cmd := &cobra.Command{
		Use:   "batch DIR",
		Short: "Apply puts and deletes from standard input",
		Long: `Batch reads operations from standard input, one a line, and applies them all at
once or, if one cannot be understood, none. The database is created if it does
not exist. A line is a JSON object

  {"type":"put","key":"fruit","value":"apple"}
  {"type":"del","key":"fruit"}

or fields with tabs between

  put	fruit	apple
  del	fruit

A JSON object without a type is a put, so the output of "scan --json" can be
read. Keys and values are in the formats of "party help formats".

A batch is held in memory until it is applied. --chunk N applies every N
operations by themselves: for input of any size, and not atomic as a whole.`,
		Example: examples(
			`printf 'put\ta\t1\nput\tb\t2\n' | party batch ./db`, "",
			"party batch ./db --chunk 10000 < import.jsonl", "a large import",
			"party scan ./old --json | party batch ./new", "copy a database",
		),
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if chunk < 0 {
				return usagef("--chunk %d: want 0 or more", chunk)
			}
			if isTerminal(os.Stdin) {
				fmt.Fprintln(os.Stderr, "party: batch: type operations, one a line; Ctrl-D applies them, Ctrl-C does not")
			}
			b := batcher{formats: &formats, chunk: chunk, sync: sync}
			if chunk == 0 {
				// Nothing is opened, or created, before all has been understood.
				if err := b.read(cmd.Context(), func() error { return nil }); err != nil {
					return err
				}
			}
			err := db.with(cmd, args[0], creating, func(s *session) error { return b.run(s) })
			if err == nil && asJSON {
				return printLine(`{"operations":%d,"batches":%d}`, b.applied.Load(), b.batches)
			}
			return err
		},
	}
	formats.register(cmd, true)
	cmd.Flags().IntVar(&chunk, "chunk", 0, "apply every `N` operations by themselves")
	registerSync(cmd, &sync)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was done as a JSON object")
	db.register(cmd, true)
	return cmd
}

// batcher turns input into batches.
type batcher struct {
	formats *formatFlags
	chunk   int
	sync    bool

	batch   party.Batch
	batches int
	applied atomic.Int64 // operations
	input   atomic.Int64 // bytes read
}

// run applies what has been read, or with --chunk what is there to read.
func (b *batcher) run(s *session) error {
	bar := startProgress("applying", b.progress)
	defer bar.end()
	if b.chunk == 0 {
		return b.apply(s)
	}
	err := b.read(s.ctx, func() error {
		if b.batch.Len() < b.chunk {
			return nil
		}
		return b.apply(s)
	})
	if err == nil {
		err = b.apply(s)
	}
	// Whoever goes on has to know from where, also after Ctrl-C.
	if err != nil {
		fmt.Fprintf(os.Stderr, "party: batch: %d operations were applied\n", b.applied.Load())
	}
	return err
}

func (b *batcher) apply(s *session) error {
	if b.batch.Len() == 0 {
		return nil
	}
	err := s.wait(func() error {
		return s.kv.Write(s.ctx, &b.batch, party.WriteOptions{Sync: b.sync})
	})
	if err != nil {
		return err
	}
	b.applied.Add(int64(b.batch.Len()))
	b.batches++
	b.batch.Reset()
	return nil
}

// read adds operations to the batch and calls added after each.
func (b *batcher) read(ctx context.Context, added func() error) error {
	return eachLine(stdin(ctx), func(line []byte) error {
		b.input.Add(int64(len(line)) + 1)
		if err := b.add(line); err != nil {
			return err
		}
		return added()
	})
}

func (b *batcher) progress() (float64, string) {
	fraction := -1.0
	if info, err := os.Stdin.Stat(); err == nil && info.Mode().IsRegular() && info.Size() > 0 && b.chunk > 0 {
		fraction = float64(b.input.Load()) / float64(info.Size())
	}
	return fraction, grouped(b.applied.Load()) + " operations"
}

// operation is a line in JSON.
type operation struct {
	Type        string          `json:"type"`
	Key         json.RawMessage `json:"key"`
	KeyBase64   *string         `json:"keyBase64"`
	Value       json.RawMessage `json:"value"`
	ValueBase64 *string         `json:"valueBase64"`
}

// add parses a line and adds it to the batch.
func (b *batcher) add(line []byte) error {
	if line[0] != '{' {
		return b.addText(line)
	}
	var op operation
	if err := json.Unmarshal(line, &op); err != nil {
		return fmt.Errorf("not a JSON object: %w", err)
	}
	if op.Type != "" && op.Type != "put" && op.Type != "del" {
		return fmt.Errorf(`type is %q, want "put" or "del"`, op.Type)
	}
	key, err := b.formats.key().parseMember("key", op.Key, op.KeyBase64)
	if err != nil {
		return err
	}
	if op.Type == "del" {
		b.batch.Delete(key)
		return nil
	}
	value, err := b.formats.value().parseMember("value", op.Value, op.ValueBase64)
	if err != nil {
		return err
	}
	b.batch.Put(key, value)
	return nil
}

func (b *batcher) addText(line []byte) error {
	fields := bytes.SplitN(line, []byte("\t"), 3)
	kind := string(fields[0])
	switch {
	case kind != "put" && kind != "del":
		return hintf(errors.New("neither put, del nor a JSON object"), "fields have a tab between, not spaces: put<TAB>key<TAB>value")
	case kind == "put" && len(fields) < 3:
		return hintf(errors.New("put without a value"), "fields have a tab between, not spaces: put<TAB>key<TAB>value")
	case kind == "del" && len(fields) != 2:
		return hintf(fmt.Errorf("del with %d fields, want 2", len(fields)), "del<TAB>key")
	}
	key, err := b.formats.key().parseField(fields[1])
	if err != nil {
		return fmt.Errorf("key: %w", err)
	}
	if kind == "del" {
		b.batch.Delete(key)
		return nil
	}
	value, err := b.formats.value().parseField(fields[2])
	if err != nil {
		return fmt.Errorf("value: %w", err)
	}
	b.batch.Put(key, value)
	return nil
}
