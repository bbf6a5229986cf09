package main

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// table writes a Markdown table that can be read as it is, too: the first row is
// the head, and all columns but the first are flush right.
func table(w *bytes.Buffer, rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for i, row := range rows {
		for column, cell := range row {
			pad := strings.Repeat(" ", width[column]-utf8.RuneCountInString(cell))
			if column == 0 {
				fmt.Fprintf(w, "| %s%s ", cell, pad)
			} else {
				fmt.Fprintf(w, "| %s%s ", pad, cell)
			}
		}
		fmt.Fprintf(w, "|\n")
		if i == 0 {
			for column, n := range width {
				if column == 0 {
					fmt.Fprintf(w, "|%s", strings.Repeat("-", n+2))
				} else {
					fmt.Fprintf(w, "|%s:", strings.Repeat("-", n+1))
				}
			}
			fmt.Fprintf(w, "|\n")
		}
	}
	fmt.Fprintf(w, "\n")
}

// number writes three digits that count, with thousands apart.
func number(v float64) string {
	if v > 0 {
		unit := math.Pow(10, max(0, math.Floor(math.Log10(v))-2))
		v = math.Round(v/unit) * unit
	}
	digits := fmt.Sprintf("%.0f", v)
	var parts []string
	for len(digits) > 3 {
		parts = append(parts, digits[len(digits)-3:])
		digits = digits[:len(digits)-3]
	}
	parts = append(parts, digits)
	slices.Reverse(parts)
	return strings.Join(parts, ",")
}

// brief writes three digits that count, and a letter for thousands or millions.
func brief(v float64) string {
	switch {
	case v >= 999.5e3:
		return fmt.Sprintf("%.3gM", v/1e6)
	case v >= 999.5:
		return fmt.Sprintf("%.3gk", v/1e3)
	}
	return fmt.Sprintf("%.3g", v)
}

func times(v float64) string { return fmt.Sprintf("%.3g×", v) }

// ms writes a duration in the unit that suits it, with three digits that count.
func ms(d time.Duration) string {
	switch {
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d.Nanoseconds())
	case d < time.Millisecond:
		return fmt.Sprintf("%.3g µs", float64(d)/float64(time.Microsecond))
	case d < time.Second:
		return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.4g s", d.Seconds())
}

func kib[T int | float64](bytes T) string { return fmt.Sprintf("%.3g KiB", float64(bytes)/1024) }

func mib[T int | int64](bytes T) string {
	if v := float64(bytes) / (1 << 20); v < 99.5 {
		return fmt.Sprintf("%.3g MiB", v)
	}
	return number(float64(bytes)/(1<<20)) + " MiB"
}

// percentile of at least one value.
func percentile(values []time.Duration, q float64) time.Duration {
	return quantile(slices.Sorted(slices.Values(values)), q)
}
