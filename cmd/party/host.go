package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/levelparty/party"
)

func newHost() *cobra.Command {
	var (
		asJSON    bool
		mustExist bool
		cache     int
		buffer    int
		bloom     int
	)
	cmd := &cobra.Command{
		Use:   "host DIR",
		Short: "Lead a database, or stand by to lead it",
		Long: `Host opens the database and leads it for the others until a signal stops it.
No database needs this: any process can lead. It serves where one process should
lead for long, because the others come and go, or because they are not to spend
their memory and processor time on it.

If another process leads, host asks it to hand over; a process that cannot, or
is itself a host, goes on, and host takes over when it ends. Changes of role are
printed as they happen.

A signal stops it in order and with code 0: SIGINT, SIGTERM or SIGHUP.`,
		Example: examples(
			"party host ./db", "",
			"party host ./db --json >> host.log", "changes of role as JSON lines",
		),
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			slow := time.AfterFunc(time.Second, func() {
				fmt.Fprintf(os.Stderr, "party: host: waiting for %s: another program holds its lock, or recovery takes long\n", args[0])
			})
			defer slow.Stop()
			roles := &rolePrinter{asJSON: asJSON, dir: args[0]}
			db, err := party.Open(cmd.Context(), args[0], &party.Options{
				MustExist:   mustExist,
				Lead:        party.LeadFirst,
				LockTimeout: -1, // waiting for the lock is what a stand-by does
				Cache:       cache,
				WriteBuffer: buffer,
				BloomBits:   bloom,
				OnRole:      roles.changed,
			})
			if err != nil {
				if errors.Is(err, context.Canceled) {
					return nil
				}
				return explainOpen(args[0], err)
			}
			slow.Stop()
			<-cmd.Context().Done()
			return db.Close()
		},
		ValidArgsFunction: completeDir,
	}
	flags := cmd.Flags()
	flags.BoolVar(&asJSON, "json", false, "print changes of role as JSON lines")
	flags.BoolVar(&mustExist, "must-exist", false, "fail if there is no database, instead of creating it")
	flags.IntVar(&cache, "cache", 0, "memory for blocks, in `BYTES`; 0 is the default")
	flags.IntVar(&buffer, "write-buffer", 0, "what is gathered before a table is written, in `BYTES`; 0 is the default")
	flags.IntVar(&bloom, "bloom-bits", 0, "`BITS` of bloom filter per key; 0 is the default, negative none")
	return cmd
}

// rolePrinter prints the roles of a handle, one a line.
type rolePrinter struct {
	asJSON bool
	dir    string
}

func (p *rolePrinter) changed(r party.Role) {
	now := time.Now()
	if p.asJSON {
		json.NewEncoder(os.Stdout).Encode(struct {
			Time time.Time `json:"time"`
			PID  int       `json:"pid"`
			Dir  string    `json:"dir"`
			Role string    `json:"role"`
		}{now, os.Getpid(), p.dir, r.String()})
		return
	}
	words := map[party.Role]string{
		party.Electing: "looking for a leader",
		party.Leader:   "leading",
		party.Member:   "standing by as a member",
		party.Guest:    "standing by as a guest, another process leads",
		party.Reading:  "reading",
		party.Closed:   "closed",
	}[r]
	printLine("%s  %s", now.Format(time.DateTime), words)
}
