//go:build linux

package soak

import (
	"time"

	"github.com/levelparty/party"
)

// way is how a process holds the database.
type way struct {
	name    string
	options party.Options
	node    bool // by the npm package of that name
	share   int  // of how many are to be so
}

// ways are all there are. The first two are for one process each, which nobody
// kills while others live: they never lead, and grow old.
var ways = []way{
	{name: "old member", options: party.Options{Lead: party.LeadNever}},
	{name: "old guest", options: party.Options{Lead: party.LeadNever, Sockets: true}},

	{name: "member", share: 5, options: party.Options{WriteBuffer: 512 << 10}},
	// A log and a table every moment.
	{name: "tiny member", share: 4, options: party.Options{WriteBuffer: 64 << 10, Compression: party.NoCompression, Cache: -1}},
	// The lead is handed over from one to the other.
	{name: "first member", share: 1, options: party.Options{Lead: party.LeadFirst, WriteBuffer: 256 << 10}},
	{name: "last member", share: 2, options: party.Options{Lead: party.LeadLast, VerifyChecksums: true, MaxOpenFiles: 8}},
	// These lead alone, with all others as their guests, if they are first.
	{name: "guest", share: 2, options: party.Options{Sockets: true, WriteBuffer: 128 << 10}},
	{name: "hasty guest", share: 1, options: party.Options{Sockets: true, NoRetry: true}},
	{name: "last guest", share: 1, options: party.Options{Sockets: true, Lead: party.LeadLast}},

	{name: "rave", share: 2, node: true},
	{name: "party", share: 2, node: true},
}

const (
	oldMember = 0
	oldGuest  = 1
)

// takesLead reports whether the process can lead while there are members.
func (w way) takesLead() bool {
	return !w.node && !w.options.Sockets && w.options.Lead != party.LeadNever
}

// retention is what leaders keep of the logs. It is the default.
const retention = 16 << 20

func findWay(name string) way {
	for _, w := range ways {
		if w.name == name {
			// A process that is stopped while it opens the database, and one that
			// checks it while nobody else has it, hold the lock for a while.
			w.options.LockTimeout = time.Minute
			return w
		}
	}
	return way{}
}
