//go:build !windows

package main

import "os"

// enableANSI reports whether f, a terminal, understands ANSI sequences.
func enableANSI(*os.File) bool { return true }
