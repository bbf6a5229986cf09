package goleveldb

// The interfaces that goleveldb's types and this package's have in common.
type (
	AnyDB[S, T any] = anyDB[S, T]
	AnySnapshot     = anySnapshot
	AnyTransaction  = anyTransaction
)

var ScanLevels = scanLevels
