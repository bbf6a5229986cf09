// Package failpoint lets tests kill a process at a chosen step, as kill -9
// would. A call of Hit marks a step; it compiles to nothing unless the build
// tag failpoints is given. It then looks at the environment:
//
//	PARTY_FAILPOINT=name[:n][:stop]  at the n-th Hit of that name, 1 if there is no n, the
//	                                 process dies, or is stopped until it is continued
//	PARTY_BREAK=name                 what Breaks is asked for by that name is broken
//
// Hits tells how often the process has come to each step.
//
// A name is used by one call, written there as a literal: tests/crash reads the
// calls from the source and has a process die at each of them. On systems
// without signals the tag changes nothing.
package failpoint

// What a build can be made to do wrong, so that tests are seen to notice.
const (
	// PublishFirst has a write be published before it can be read.
	PublishFirst = "publish first"
	// SkipRollForward has what a dead writer left in the log cut off, although it
	// is whole and its entries may be in the memtable.
	SkipRollForward = "skip roll-forward"
	// RetryTwice has a write that is sent again be applied again.
	RetryTwice = "retry twice"
)
