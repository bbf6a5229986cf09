package party

import "github.com/levelparty/party/internal/wire"

// Only makes handles look for a leader by one protocol.
func (o Options) Only(p wire.Proto) *Options {
	o.only = []wire.Proto{p}
	return &o
}

// WaitingCalls returns how many calls wait for whichever leader answers.
func (db *DB) WaitingCalls() (n int) {
	for _, c := range db.calls.Waiting() {
		if c.Bound == nil {
			n++
		}
	}
	return n
}
