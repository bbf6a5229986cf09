package party

import "github.com/levelparty/party/internal/wire"

// Only makes handles look for a leader by one protocol.
func (o Options) Only(p wire.Proto) *Options {
	o.only = []wire.Proto{p}
	return &o
}
