package goleveldb_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/syndtr/goleveldb/leveldb"

	"github.com/levelparty/party/goleveldb"
)

// Property: every exported method of goleveldb's types is here with the same
// signature, in which this package's types stand for goleveldb's.
func TestMethods(t *testing.T) {
	pairs := [][2]reflect.Type{
		{reflect.TypeFor[*leveldb.DB](), reflect.TypeFor[*goleveldb.DB]()},
		{reflect.TypeFor[*leveldb.Snapshot](), reflect.TypeFor[*goleveldb.Snapshot]()},
		{reflect.TypeFor[*leveldb.Transaction](), reflect.TypeFor[*goleveldb.Transaction]()},
	}
	same := func(theirs, ours reflect.Type) bool {
		return theirs == ours || slices.Contains(pairs, [2]reflect.Type{theirs, ours})
	}
	for _, p := range pairs {
		for i := range p[0].NumMethod() {
			theirs := p[0].Method(i)
			ours, ok := p[1].MethodByName(theirs.Name)
			if !ok {
				t.Errorf("%v has no method %s", p[1], theirs.Name)
				continue
			}
			f, g := theirs.Type, ours.Type
			ok = f.NumIn() == g.NumIn() && f.NumOut() == g.NumOut() && f.IsVariadic() == g.IsVariadic()
			for i := 0; ok && i < f.NumIn(); i++ {
				ok = same(f.In(i), g.In(i))
			}
			for i := 0; ok && i < f.NumOut(); i++ {
				ok = same(f.Out(i), g.Out(i))
			}
			if !ok {
				t.Errorf("%s: %v, goleveldb has %v", theirs.Name, g, f)
			}
		}
	}
}

// Property: whatever a program can name in goleveldb's package it can name
// here, but for the functions that take a storage.
func TestNames(t *testing.T) {
	file, _ := runtime.FuncForPC(reflect.ValueOf(leveldb.OpenFile).Pointer()).FileLine(0)
	theirs, err := exported(filepath.Dir(file))
	if len(theirs) == 0 {
		t.Skipf("no source of goleveldb: %v", err)
	}
	ours, err := exported(".")
	if err != nil {
		t.Fatal(err)
	}
	missing := []string{"Open", "Recover"}
	for _, name := range theirs {
		if slices.Contains(ours, name) == slices.Contains(missing, name) {
			t.Errorf("%s: here %v", name, slices.Contains(ours, name))
		}
	}
}

// exported returns the exported names at the top level of a package.
func exported(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, 0)
		if err != nil {
			return nil, err
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					names = append(names, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.TypeSpec:
						names = append(names, s.Name.Name)
					case *ast.ValueSpec:
						for _, n := range s.Names {
							names = append(names, n.Name)
						}
					}
				}
			}
		}
	}
	return slices.DeleteFunc(names, func(n string) bool { return !ast.IsExported(n) }), nil
}
