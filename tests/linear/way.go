//go:build unix

package linear

import "github.com/levelparty/party"

// Way is how the processes of a campaign hold the database.
type Way struct {
	Name string
	// Options of the process with that index, counted from 0 in the order in
	// which processes start.
	Options func(index int) party.Options
}

// Ways are all there are. A process finds its own by the name.
var Ways = []Way{
	// Every process reads and writes the files itself.
	{"members", func(int) party.Options {
		return party.Options{}
	}},
	// One leads, the others reach it through its socket.
	{"guests", func(int) party.Options {
		return party.Options{Sockets: true}
	}},
	{"mixture", func(index int) party.Options {
		return party.Options{Sockets: index%3 == 1}
	}},
	// Memory that is full at once: logs, tables and compactions change all the time.
	{"tiny members", func(int) party.Options {
		return party.Options{WriteBuffer: 16 << 10, Compression: party.NoCompression}
	}},
	{"tiny guests", func(int) party.Options {
		return party.Options{WriteBuffer: 16 << 10, Compression: party.NoCompression, Sockets: true}
	}},
	// Half of them are told when the leader is lost, and do not try again.
	{"noretry", func(index int) party.Options {
		return party.Options{NoRetry: index%2 == 1, Sockets: true}
	}},
	// The lead is handed over again and again.
	{"handover", func(index int) party.Options {
		return party.Options{Lead: leads[index%3], Sockets: true}
	}},
	{"handover mixture", func(index int) party.Options {
		return party.Options{Lead: leads[index%3], Sockets: index%2 == 1}
	}},
}

var leads = []party.Lead{party.LeadLast, party.LeadWhenFree, party.LeadFirst}

// FindWay returns the way of that name.
func FindWay(name string) (Way, bool) {
	for _, w := range Ways {
		if w.Name == name {
			return w, true
		}
	}
	return Way{}, false
}
