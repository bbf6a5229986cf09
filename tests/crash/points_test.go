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

// ways says by which scenarios a process comes to the steps whose names begin
// so; the longest beginning counts. The first one is always run.
var ways = map[string][]scenario{
	"coord.block":           {create, recover},
	"coord.block.checked":   {join},
	"coord.join":            {create, join, recover},
	"coord.joined":          {create, recover},
	"coord.lead":            {create, elect, forward},
	"coord.leave":           {leave, resign},
	"coord.lock":            {forward, cut},
	"coord.publish":         {lead, join, create, elect, forward, recover},
	"coord.repair":          {forward, cut},
	"coord.resign":          {resign, leave},
	"coord.slot":            {join, create, recover},
	"coord.sync":            {lead, join},
	"leader.intent":         {lead},
	"leader.join":           {create, recover},
	"leader.lead":           {elect, create, forward},
	"leader.once":           {create, recover, elect},
	"leader.resign":         {resign, resign2, leave},
	"leader.write":          {lead, join},
	"lsm.compact":           {lead, elect},
	"lsm.create":            {create},
	"lsm.current":           {create, lead, full},
	"lsm.edit":              {lead, elect, elect2},
	"lsm.flush":             {lead, recover, elect},
	"lsm.insert":            {lead, join, recover, forward},
	"lsm.lead":              {elect, create, forward},
	"lsm.lead.truncated":    {elect2, create},
	"lsm.lock":              {join, lead, forward},
	"lsm.log.created":       {create, full, join},
	"lsm.log.grown":         {recover, long, cut},
	"lsm.log.ready":         {create, full, join},
	"lsm.log.removed":       {lead},
	"lsm.manifest":          {lead, create, full},
	"lsm.manifest.rolled":   {lead},
	"lsm.mem":               {lead, create, recover},
	"lsm.recover.log":       {recover, full},
	"lsm.recover.manifest":  {create, recover, full},
	"lsm.recover.once":      {create, recover, full},
	"lsm.recover.ready":     {create, recover, full},
	"lsm.recover.published": {create, recover, full},
	"lsm.recover.table":     {full},
	"lsm.recover.truncated": {recover},
	"lsm.repair.begun":      {forward, cut},
	"lsm.repair.cut":        {cut},
	"lsm.repair.inserted":   {forward},
	"lsm.repair.published":  {forward},
	"lsm.rotate":            {join, lead, recover},
	"lsm.sweep":             {create, full, elect, elect3},
	"lsm.sweep.manifest":    {full},
	"lsm.sweep.mem":         {elect3},
	"lsm.sync":              {lead, join},
	"lsm.table":             {lead, full},
	"lsm.table.removed":     {lead},
	"lsm.tidy":              {leave},
	"lsm.tidy.tables":       {leaveBig},
	"lsm.tidy.appended":     {leaveBig},
	"lsm.unlock":            {join, lead, forward},
	"lsm.write":             {join, lead, recover},
	"memtable":              {lead, join, forward},
}

// often says how often a process comes to the steps whose names begin so, in
// every scenario: it dies at one of these times.
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
