//go:build linux && !race

package security

const raceEnabled = false
