package main

import "os"

// style is an ANSI "select graphic rendition" code.
type style string

const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
)

// styles paints what is written to standard output, if that is a terminal and
// nobody has said NO_COLOR.
type styles struct{ on bool }

func newStyles() styles {
	return styles{isTerminal(os.Stdout) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && enableANSI(os.Stdout)}
}

func (s styles) paint(st style, text string) string {
	if !s.on || st == plain {
		return text
	}
	return "\x1b[" + string(st) + "m" + text + "\x1b[0m"
}

// span is a piece of a line in one style.
type span struct {
	text  string
	style style
}

// line paints spans, cut to width columns.
func (s styles) line(width int, spans ...span) string {
	out := ""
	for _, p := range spans {
		text := cut(p.text, width)
		width -= len([]rune(text))
		out += s.paint(p.style, text)
	}
	return out
}
