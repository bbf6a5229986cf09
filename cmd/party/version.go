package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by release builds, with -ldflags "-X main.version=v1.2.3".
var version string

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			version, revision := buildVersion()
			platform := runtime.GOOS + "/" + runtime.GOARCH
			if asJSON {
				return printLine(`{"version":%q,"revision":%q,"go":%q,"platform":%q}`, version, revision, runtime.Version(), platform)
			}
			if revision != "" {
				version += " (" + revision + ")"
			}
			return printLine("party %s, %s, %s", version, runtime.Version(), platform)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

// buildVersion returns what the build knows: the version it was released or
// installed as, and the commit it was built from.
func buildVersion() (v, revision string) {
	v = version
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v, ""
	}
	if v == "" {
		v = info.Main.Version
	}
	if v == "" || v == "(devel)" {
		v = "devel"
	}
	dirty := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	if revision != "" {
		revision += dirty
	}
	return v, revision
}
