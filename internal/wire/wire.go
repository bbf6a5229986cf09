// Package wire speaks the socket protocols through which processes share one
// database: those of the npm packages many-level (rave-level) and
// multileveldown (level-party), byte for byte, and the one between Go
// processes, which carries what those two lack.
//
// A Host answers the requests of one connection from a store.Store. A Link is
// a guest's side of one connection. The package knows neither engine nor
// election: it is handed connections and tells when they end.
//
// All three protocols share their framing (see frame.go): a length, one tag
// byte, one protobuf message. docs/protocol.md describes every message.
package wire

import "fmt"

// Proto is a socket protocol.
type Proto uint8

const (
	Party Proto = iota // between Go processes
	Many               // many-level 1.0 and 2.0, as rave-level 1.0 uses it
	Multi              // multileveldown 5.0, as level-party 5.1 uses it
)

// Protos lists the protocols in the order a guest tries them: the richest
// first.
var Protos = [...]Proto{Party, Many, Multi}

// String returns the name of the npm package whose processes are met there.
func (p Proto) String() string {
	switch p {
	case Party:
		return "party"
	case Many:
		return "rave-level"
	case Multi:
		return "level-party"
	}
	return fmt.Sprintf("Proto(%d)", uint8(p))
}

// DefaultMaxFrame is the largest frame accepted where no other limit is set.
const DefaultMaxFrame = 64 << 20
