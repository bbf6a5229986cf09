// Package linear tests that the database is linearizable: that every operation
// of every process takes effect at one instant between its call and its return,
// whoever is killed, stopped or joins meanwhile.
//
// A campaign is one directory and a few rounds. In a round, 3 to 8 processes
// run random operations on a few hot keys through the public API while the
// parent kills, stops, ends and starts processes by a plan. Every process writes
// its history to a file, with times of the monotonic clock, which all processes
// share. After the round the parent reads what is left, merges the histories and
// has them checked by porcupine.
//
// # Where things are
//
//   - op.go: what an operation is. All are the same: keys that are observed and
//     keys that are written, at one instant.
//   - action.go: the operations that processes choose from. New ones go there.
//   - way.go: how processes hold the database: configurations.
//   - worker.go: a process. history.go: what it leaves.
//   - plan.go: what a seed stands for. campaign.go: carrying it out.
//   - check.go: the model. tighten.go and witness.go: what is found out before, so
//     that the check takes milliseconds. failure.go: what is written of a history
//     that fails.
//   - lie.go: processes that lie, which the check must find out.
//
// A key's state is the number of the put that wrote it: every put of a campaign
// has a number of its own, so that a value tells which write it came from.
//
// # Outcomes that nobody knows
//
// A process killed before the answer, or told ErrConnectionLost, does not know
// whether its write happened. Such a write may take effect at any time after its
// call, or never. The other processes are not believed to know better.
package linear
