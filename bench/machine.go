package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// machine is what the results hold for.
type machine struct {
	CPU     string
	Cores   int
	System  string
	Go      string
	Node    string `json:",omitempty"`
	Redis   string `json:",omitempty"`
	Load    string // average over the minute before the run
	TempDir string // file system of the databases
}

func thisMachine() machine {
	m := machine{
		CPU:     "unknown CPU",
		Cores:   runtime.NumCPU(),
		System:  output("uname", "-sr"),
		Go:      strings.TrimPrefix(runtime.Version(), "go"),
		Node:    strings.TrimPrefix(output("node", "--version"), "v"),
		TempDir: output("stat", "-f", "-c", "%T", os.TempDir()),
	}
	if _, rest, ok := strings.Cut(output("redis-server", "--version"), "v="); ok {
		m.Redis, _, _ = strings.Cut(rest, " ")
	}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load, _, _ = strings.Cut(string(load), " ")
	}
	return m
}

func (m machine) String() string {
	s := fmt.Sprintf("%s, %d cores, %s, %s, Go %s", m.CPU, m.Cores, m.System, m.TempDir, m.Go)
	if m.Node != "" {
		s += ", Node " + m.Node
	}
	if m.Redis != "" {
		s += ", Redis " + m.Redis
	}
	return s
}

// output returns what a program prints, and nothing if it cannot be run.
func output(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
