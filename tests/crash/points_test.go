//go:build unix

package crash

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/levelparty/party"
)

// points returns the names of all failpoints in the source. Every name must be a
// literal and used once: else nobody could say that the process died there.
func points(t testing.TB) []string {
	t.Helper()
	var names []string
	where := make(map[string]token.Position)
	for _, pkg := range []string{"coord", "leader", "lsm", "memtable"} {
		files, err := filepath.Glob(filepath.Join("..", "..", "internal", pkg, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			src, err := os.ReadFile(file) // so that the test's cached result knows of it
			if err != nil {
				t.Fatal(err)
			}
			set := token.NewFileSet()
			f, err := parser.ParseFile(set, file, src, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				fn, ok := call.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if of, ok := fn.X.(*ast.Ident); !ok || of.Name != "failpoint" || fn.Sel.Name != "Hit" && fn.Sel.Name != "Torn" {
					return true
				}
				at := set.Position(call.Pos())
				lit, ok := call.Args[0].(*ast.BasicLit)
				if !ok {
					t.Errorf("%v: the name is no literal", at)
					return true
				}
				name, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				if other, ok := where[name]; ok {
					t.Errorf("%v: %s is the name of %v", at, name, other)
				}
				where[name] = at
				names = append(names, name)
				return true
			})
		}
	}
	slices.Sort(names)
	return names
}

// scenario is how a process comes to a step. The one that dies is the victim.
type scenario struct {
	name string
	// left is what the directory holds: leftLogs or leftFull.
	left string
	// first are those that are in before the victim, among them perhaps one that
	// dies at a failpoint.
	first []job
	dies  string // the failpoint of the first of first
	kill  bool   // the first of first is killed when the victim is in
	// victim is the one that dies, later are those that come when it is in, if
	// it is.
	victim job
	later  []job
	end    bool // the victim is told to end
}

const (
	leftLogs = "logs" // of a process that was killed at work
	leftFull = "full" // two full logs: the leader died and nobody followed it
)

var (
	member = job{}
	guest  = job{Sockets: true}
	idle   = job{Idle: true, Lead: party.LeadLast}
	last   = job{Lead: party.LeadLast}
	never  = job{Lead: party.LeadNever}
)

// The scenarios.
var (
	create  = scenario{name: "create"}
	lead    = scenario{name: "lead", later: []job{member, guest}}
	join    = scenario{name: "join", first: []job{member}}
	recover = scenario{name: "recover", left: leftLogs, later: []job{member}}
	full    = scenario{name: "recover full logs", left: leftFull, later: []job{member}}
	elect   = scenario{name: "elect", first: []job{member, last}, kill: true}
	// The leader before died with an edit that was not published.
	elect2 = scenario{name: "elect behind an edit", first: []job{member, last}, dies: "lsm.edit.durable:3"}
	// The leader before died with files that it was about to remove.
	elect3   = scenario{name: "elect behind a flush", first: []job{member, last}, dies: "lsm.flush.committed:2"}
	forward  = scenario{name: "carry through", first: []job{member, idle}, dies: "lsm.write.inserted:20"}
	cut      = scenario{name: "cut", first: []job{member, idle}, dies: "lsm.write.torn:20"}
	long     = scenario{name: "long batch", victim: job{Long: true}, later: []job{member}}
	resign   = scenario{name: "resign", later: []job{last, guest}, end: true}
	resign2  = scenario{name: "resign without guests", later: []job{last}, end: true}
	leave    = scenario{name: "leave", end: true}
	leaveBig = scenario{name: "leave much", victim: job{Big: true}, end: true}
)

// scenarios are all of them.
var scenarios = []scenario{create, lead, join, recover, full, elect, elect2, elect3, forward, cut, long, resign, resign2, leave, leaveBig}

// ways has the scenario by which a process comes most surely to the steps whose
// names begin so; the longest beginning counts.
var ways = map[string]scenario{
	"coord.block":           create,
	"coord.block.checked":   join,
	"coord.join":            create,
	"coord.joined":          create,
	"coord.lead":            create,
	"coord.leave":           leave,
	"coord.lock":            forward,
	"coord.publish":         lead,
	"coord.repair":          forward,
	"coord.resign":          resign,
	"coord.slot":            join,
	"coord.sync":            lead,
	"leader.intent":         lead,
	"leader.join":           create,
	"leader.lead":           elect,
	"leader.once":           create,
	"leader.resign":         resign,
	"leader.write":          lead,
	"lsm.compact":           lead,
	"lsm.create":            create,
	"lsm.current":           create,
	"lsm.edit":              lead,
	"lsm.flush":             lead,
	"lsm.insert":            lead,
	"lsm.lead":              elect,
	"lsm.lead.truncated":    elect2,
	"lsm.lock":              join,
	"lsm.log.created":       create,
	"lsm.log.grown":         long,
	"lsm.log.ready":         create,
	"lsm.log.removed":       lead,
	"lsm.manifest":          lead,
	"lsm.manifest.rolled":   lead,
	"lsm.mem":               lead,
	"lsm.recover.log":       recover,
	"lsm.recover.manifest":  create,
	"lsm.recover.once":      create,
	"lsm.recover.ready":     create,
	"lsm.recover.published": create,
	"lsm.recover.table":     full,
	"lsm.recover.truncated": recover,
	"lsm.repair.begun":      forward,
	"lsm.repair.cut":        cut,
	"lsm.repair.inserted":   forward,
	"lsm.repair.published":  forward,
	"lsm.rotate":            join,
	"lsm.sweep":             create,
	"lsm.sweep.manifest":    full,
	"lsm.sweep.mem":         elect3,
	"lsm.sync":              lead,
	"lsm.table":             lead,
	"lsm.table.removed":     lead,
	"lsm.tidy":              leave,
	"lsm.tidy.tables":       leaveBig,
	"lsm.tidy.appended":     leaveBig,
	"lsm.unlock":            join,
	"lsm.write":             join,
	"memtable":              lead,
}

// often says how often a process surely comes to the steps whose names begin so:
// it dies at one of these times.
var often = map[string]int{
	"coord.publish": 3, "lsm.insert": 60, "lsm.write": 60, "lsm.lock": 3, "lsm.unlock": 3, "memtable": 120,
	"lsm.table.entry": 20, "lsm.flush": 2, "lsm.rotate": 2,
}

// lookUp returns what m has for the longest beginning of name.
func lookUp[V any](m map[string]V, name string) (v V, ok bool) {
	for {
		if v, ok = m[name]; ok {
			return v, true
		}
		i := strings.LastIndexByte(name, '.')
		if i < 0 {
			return v, false
		}
		name = name[:i]
	}
}

func (s scenario) String() string { return fmt.Sprintf("%q", s.name) }

// find returns the scenario of that name.
func find(name string) (s scenario, ok bool) {
	i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
	if i < 0 {
		return s, false
	}
	return scenarios[i], true
}
