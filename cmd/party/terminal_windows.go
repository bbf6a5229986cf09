package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// enableANSI makes the console f understand ANSI sequences, which those before
// Windows 10 do not.
func enableANSI(f *os.File) bool {
	h := windows.Handle(f.Fd())
	var mode uint32
	if windows.GetConsoleMode(h, &mode) != nil {
		return false
	}
	return windows.SetConsoleMode(h, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}
