// Package crash has processes die at every step. It has tests alone.
//
//   - points_test.go: the steps, read from the source, and what makes a process
//     come to each.
//   - run_test.go: a death at a step, and what must be true behind it.
//   - worker_test.go: the processes, and what they write.
//   - crash_test.go: the tests.
package crash
