package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/syndtr/goleveldb/leveldb"
)

// TestMain makes this binary, under other names, the commands of the scripts.
func TestMain(m *testing.M) {
	// A process under the race detector sleeps a second before it exits.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	testscript.Main(m, map[string]func(){
		"party":    main,
		"stranger": stranger,
	})
}

// stranger holds the database os.Args[1] open with a LevelDB that shares with
// nobody, until it is killed. The command may hold the lock when it comes.
func stranger() {
	db, err := leveldb.OpenFile(os.Args[1], nil)
	for until := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
		db, err = leveldb.OpenFile(os.Args[1], nil)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer db.Close()
	time.Sleep(time.Minute)
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			// Away from the scripts' own directory, to see what is left there.
			tmp := filepath.Join(env.WorkDir, "tmp")
			env.Setenv("TMPDIR", tmp)
			env.Setenv("TMP", tmp)
			env.Setenv("GORACE", os.Getenv("GORACE"))
			return os.MkdirAll(tmp, 0o777)
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Getuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":        scriptCode,
			"until":       scriptUntil,
			"fingerprint": scriptFingerprint,
		},
	})
}

// scriptCode runs a command that is to end with a certain code:
//
//	code 3 party get db nokey
func scriptCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("code %d, want %d", got, want)
	}
}

// scriptUntil runs a command again and again until its output matches:
//
//	until 'leader +pid' party status db
func scriptUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN COMMAND...")
	}
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for range 400 {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && re.MatchString(ts.ReadFile("stdout")) {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	ts.Fatalf("%q does not match what %s prints", args[0], strings.Join(args[1:], " "))
}

// scriptFingerprint writes the names, times and contents of the files of a
// directory to a file, for cmp:
//
//	fingerprint db before
func scriptFingerprint(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fingerprint DIR FILE")
	}
	var b strings.Builder
	root := ts.MkAbs(args[0])
	ts.Check(filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		fmt.Fprint(&b, path, " ", info.Mode())
		// A directory's own time may change: a reader without a leader puts a
		// socket there for a while.
		if info.Mode().IsRegular() {
			fmt.Fprint(&b, " ", info.ModTime().UnixNano())
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %d %x", len(data), sha256.Sum256(data))
		}
		b.WriteByte('\n')
		return nil
	}))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(b.String()), 0o666))
}
