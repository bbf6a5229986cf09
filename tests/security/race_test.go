//go:build linux && race

package security

// Memory counts several times over.
const raceEnabled = true
