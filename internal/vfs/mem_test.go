package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/levelparty/party/internal/partytest"
)

const memDir = string(filepath.Separator) + "dir"

func inDir(name string) string { return filepath.Join(memDir, name) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t testing.TB, fsys FS, name string) File {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	must(t, err)
	return f
}

// durable makes a file that survives.
func durable(t testing.TB, fsys FS, name string, data []byte) File {
	t.Helper()
	f := create(t, fsys, name)
	_, err := f.WriteAt(data, 0)
	must(t, errors.Join(err, f.Sync(), fsys.SyncDir(filepath.Dir(name))))
	return f
}

// leaves loses power again and again. It fails the test if what is left, as a text
// that state makes of it, is something that may not be, or if something that may be
// never is.
func leaves(t testing.TB, m *Mem, state func(left *Mem) string, may ...string) {
	t.Helper()
	rnd := partytest.Random(t)
	before := contents(t, m, memDir)
	seen := make(map[string]int)
	for n := 0; n < 200 || n < 200_000 && len(seen) < len(may); n++ {
		left := m.Crash(rnd)
		s := state(left)
		if !slices.Contains(may, s) {
			t.Fatalf("%q is left", s)
		}
		seen[s]++
		if n < 50 && contents(t, left.Crash(rnd), memDir) != contents(t, left, memDir) {
			t.Fatal("what a loss of power left was lost by another one")
		}
	}
	for _, s := range may {
		if seen[s] == 0 {
			t.Errorf("%q is never left; seen are %v", s, seen)
		}
	}
	if contents(t, m, memDir) != before {
		t.Error("a loss of power changed what is there without it")
	}
}

// contents returns names and contents of a directory's files.
func contents(t testing.TB, fsys FS, dir string) string {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	must(t, err)
	var all []byte
	for _, e := range entries {
		b, err := ReadFile(fsys, filepath.Join(dir, e.Name()))
		must(t, err)
		all = fmt.Appendf(all, "%s %d %s\n", e.Name(), len(b), b)
	}
	return string(all)
}

func sector(c byte) []byte { return bytes.Repeat([]byte{c}, sectorSize) }

// names returns names and contents in one line.
func names(t testing.TB, fsys FS) string {
	t.Helper()
	entries, err := fsys.ReadDir(memDir)
	must(t, err)
	var all []string
	for _, e := range entries {
		b, err := ReadFile(fsys, inDir(e.Name()))
		must(t, err)
		all = append(all, e.Name()+"="+string(b))
	}
	return fmt.Sprint(all)
}

// Property: what was synced, of a file and of its directory, is there after every
// loss of power.
func TestCrashKeepsWhatWasSynced(t *testing.T) {
	m := NewMem()
	f := durable(t, m, inDir("f"), sector('A'))
	durable(t, m, inDir("g"), []byte("other"))
	_, err := f.WriteAt([]byte("BB"), 100)
	must(t, errors.Join(err, f.Truncate(300), f.SyncData(), m.Remove(inDir("g")), m.SyncDir(memDir)))
	want := append(bytes.Repeat([]byte("A"), 100), append([]byte("BB"), bytes.Repeat([]byte("A"), 198)...)...)
	leaves(t, m, func(left *Mem) string { return names(t, left) }, "[f="+string(want)+"]")
}

// Property: a sector of which nothing was synced since is as it was before, or
// after any of its changes, or torn between two of these at a multiple of tearUnit;
// all of it happens.
func TestCrashSector(t *testing.T) {
	m := NewMem()
	f := durable(t, m, inDir("f"), sector('A'))
	for _, c := range "BC" {
		_, err := f.WriteAt(sector(byte(c)), 0)
		must(t, err)
	}
	const units = sectorSize / tearUnit
	var may []string
	for _, a := range "ABC" {
		for _, b := range "ABC" {
			for n := 1; n < units && a != b; n++ {
				may = append(may, string(bytes.Repeat([]byte{byte(a)}, n))+string(bytes.Repeat([]byte{byte(b)}, units-n)))
			}
		}
		may = append(may, string(bytes.Repeat([]byte{byte(a)}, units)))
	}
	leaves(t, m, func(left *Mem) string {
		b, err := ReadFile(left, inDir("f"))
		must(t, err)
		var parts []byte // of each unit
		for unit := range slices.Chunk(b, tearUnit) {
			if !bytes.Equal(unit, bytes.Repeat(unit[:1], tearUnit)) {
				t.Fatalf("torn within a unit: %q", unit)
			}
			parts = append(parts, unit[0])
		}
		return string(parts)
	}, may...)
}

// Property: the sectors of one write survive each for itself, in any order.
func TestCrashSectors(t *testing.T) {
	m := NewMem()
	f := durable(t, m, inDir("f"), append(sector('A'), sector('A')...))
	_, err := f.WriteAt(append(sector('B'), sector('B')...), 0)
	must(t, err)
	leaves(t, m, func(left *Mem) string {
		b, err := ReadFile(left, inDir("f"))
		must(t, err)
		first, second := b[:sectorSize], b[sectorSize:]
		for _, s := range [][]byte{first, second} {
			if !bytes.Equal(s, sector('A')) && !bytes.Equal(s, sector('B')) {
				return "torn"
			}
		}
		return string([]byte{first[0], second[0]})
	}, "AA", "AB", "BA", "BB", "torn")
}

// Property: a size that was not synced is lost or survives, whether or not the
// data does: then there are zeros.
func TestCrashSize(t *testing.T) {
	m := NewMem()
	f := durable(t, m, inDir("f"), []byte("AAAA"))
	_, err := f.WriteAt([]byte("BBBB"), 2*sectorSize)
	must(t, err)
	zeros := string(make([]byte, 2*sectorSize-4))
	leaves(t, m, func(left *Mem) string { return names(t, left) },
		"[f=AAAA]", "[f=AAAA"+zeros+"BBBB]", "[f=AAAA"+zeros+"\x00\x00\x00\x00]")

	must(t, errors.Join(f.Sync(), f.Truncate(2)))
	leaves(t, m, func(left *Mem) string {
		b, err := ReadFile(left, inDir("f"))
		must(t, err)
		return string(b[:min(len(b), 4)])
	}, "AA", "AA\x00\x00", "AAAA")

	must(t, f.Sync())
	if err := f.Allocate(0, 8); err != nil {
		t.Fatal(err)
	}
	leaves(t, m, func(left *Mem) string { return names(t, left) }, "[f=AA]", "[f=AA\x00\x00\x00\x00\x00\x00]")
}

// Property: whatever is written and cut off, all that is left is of one of the
// states since the last sync, unit by unit; the size, too.
func TestCrashByChance(t *testing.T) {
	rnd := partytest.Random(t)
	for range 200 {
		m := NewMem()
		f := durable(t, m, inDir("f"), nil)
		const most = 4 * sectorSize
		var states [][]byte
		note := func() {
			b, err := ReadFile(m, inDir("f"))
			must(t, err)
			states = append(states, b)
		}
		note()
		for range rnd.IntN(12) {
			switch rnd.IntN(8) {
			case 0:
				must(t, f.Sync())
				states = nil
			case 1:
				must(t, f.Truncate(int64(rnd.IntN(most))))
			default:
				at := rnd.IntN(most)
				_, err := f.WriteAt(bytes.Repeat([]byte{byte(1 + rnd.IntN(255))}, 1+rnd.IntN(most-at)), int64(at))
				must(t, err)
			}
			note()
		}
		for range 20 {
			b, err := ReadFile(m.Crash(rnd), inDir("f"))
			must(t, err)
			if !slices.ContainsFunc(states, func(s []byte) bool { return len(s) == len(b) }) {
				t.Fatalf("%d bytes are left", len(b))
			}
			for at := 0; at < len(b); at += tearUnit {
				end := min(at+tearUnit, len(b))
				if !slices.ContainsFunc(states, func(s []byte) bool {
					padded := append(slices.Clone(s), make([]byte, max(end-len(s), 0))...)
					return bytes.Equal(padded[at:end], b[at:end])
				}) {
					t.Fatalf("at %d there is %q, which never was", at, b[at:end])
				}
			}
		}
	}
}

// Property: of each directory what happened to a name since it was synced happened
// or not, as a whole; a sync of another directory does not matter, nor one of the
// file.
func TestCrashNames(t *testing.T) {
	for name, test := range map[string]struct {
		do  func(m *Mem) error
		may []string
	}{
		"create": {
			func(m *Mem) error {
				f, err := m.OpenFile(inDir("c"), os.O_CREATE|os.O_RDWR, 0)
				if err != nil {
					return err
				}
				_, err = f.Write([]byte("C"))
				return errors.Join(err, f.Sync(), m.SyncDir(memDir+"2"))
			},
			[]string{"[a=A b=B]", "[a=A b=B c=C]"},
		},
		"remove":      {func(m *Mem) error { return m.Remove(inDir("a")) }, []string{"[a=A b=B]", "[b=B]"}},
		"rename":      {func(m *Mem) error { return m.Rename(inDir("a"), inDir("c")) }, []string{"[a=A b=B]", "[b=B c=A]"}},
		"rename over": {func(m *Mem) error { return m.Rename(inDir("a"), inDir("b")) }, []string{"[a=A b=B]", "[b=A]"}},
		"rename twice": {func(m *Mem) error {
			return errors.Join(m.Rename(inDir("a"), inDir("c")), m.Rename(inDir("b"), inDir("a")))
		}, []string{"[a=A b=B]", "[b=B c=A]", "[a=B]", "[a=B c=A]"}},
		"synced": {func(m *Mem) error { return errors.Join(m.Rename(inDir("a"), inDir("b")), m.SyncDir(memDir)) }, []string{"[b=A]"}},
		"made anew": {
			func(m *Mem) error {
				f, err := m.OpenFile(inDir("a"), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0)
				if err != nil {
					return err
				}
				_, err = f.Write([]byte("N"))
				return errors.Join(err, f.Sync())
			},
			[]string{"[a=A b=B]", "[b=B]", "[a=N b=B]"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := NewMem()
			durable(t, m, inDir("a"), []byte("A"))
			durable(t, m, inDir("b"), []byte("B"))
			must(t, test.do(m))
			leaves(t, m, func(left *Mem) string { return names(t, left) }, test.may...)
		})
	}
}

// Property: one seed, one loss of power.
func TestCrashSeed(t *testing.T) {
	m := NewMem()
	for i := range 20 {
		f := create(t, m, inDir(fmt.Sprint("f", i)))
		for range 5 {
			_, err := f.Write(sector(byte(i)))
			must(t, err)
		}
	}
	for seed := range uint64(50) {
		a, b := m.Crash(rand.New(rand.NewPCG(seed, 0))), m.Crash(rand.New(rand.NewPCG(seed, 0)))
		if contents(t, a, memDir) != contents(t, b, memDir) {
			t.Fatalf("seed %d: two outcomes", seed)
		}
	}
}

// Property: without a loss of power Mem does what the system's files do, with files
// that have lost their names, too.
func TestMemIsLikeOS(t *testing.T) {
	rnd := partytest.Random(t)
	for range 20 {
		real, m := t.TempDir(), NewMem()
		type pair struct{ a, b File }
		var open []pair
		both := func(what string, do func(fsys FS, dir string) (string, error)) bool {
			t.Helper()
			want, wantErr := do(OS, real)
			got, err := do(m, memDir)
			for _, kind := range []error{fs.ErrNotExist, fs.ErrExist, fs.ErrClosed, io.EOF, nil} {
				if errors.Is(err, kind) != errors.Is(wantErr, kind) {
					t.Fatalf("%s: %v, want %v", what, err, wantErr)
				}
			}
			var path *fs.PathError
			var link *os.LinkError
			if err != nil && err != io.EOF && !errors.As(err, &path) && !errors.As(err, &link) {
				t.Fatalf("%s: %v is no PathError", what, err)
			}
			if got != want {
				t.Fatalf("%s: %.300q, want %.300q", what, got, want)
			}
			return err == nil
		}
		for range 150 {
			name, other := fmt.Sprint("f", rnd.IntN(4)), fmt.Sprint("f", rnd.IntN(4))
			n, at, data := rnd.IntN(9), int64(rnd.IntN(1500)), bytes.Repeat([]byte{byte(rnd.Uint32())}, 1+rnd.IntN(900))
			switch what := rnd.IntN(14); what {
			case 0, 1, 2:
				flag := []int{0, os.O_CREATE, os.O_CREATE | os.O_EXCL, os.O_CREATE | os.O_TRUNC, os.O_TRUNC}[rnd.IntN(5)]
				var p pair
				if both("open", func(fsys FS, dir string) (_ string, err error) {
					f, err := fsys.OpenFile(filepath.Join(dir, name), os.O_RDWR|flag, 0o600)
					if fsys == OS {
						p.a = f
					} else {
						p.b = f
					}
					return "", err
				}) {
					open = append(open, p)
					t.Cleanup(func() { p.a.Close() })
				}
			case 3:
				both("rename", func(fsys FS, dir string) (string, error) {
					return "", fsys.Rename(filepath.Join(dir, name), filepath.Join(dir, other))
				})
			case 4:
				both("remove", func(fsys FS, dir string) (string, error) { return "", fsys.Remove(filepath.Join(dir, name)) })
			case 5:
				both("stat", func(fsys FS, dir string) (string, error) {
					info, err := fsys.Stat(filepath.Join(dir, name))
					if err != nil {
						return "", err
					}
					return fmt.Sprint(info.Name(), info.Size(), info.IsDir()), nil
				})
			default:
				if len(open) == 0 {
					continue
				}
				p := open[rnd.IntN(len(open))]
				both("file", func(fsys FS, _ string) (string, error) {
					f := p.b
					if fsys == OS {
						f = p.a
					}
					switch n {
					case 0:
						n, err := f.Write(data)
						return fmt.Sprint(n), err
					case 1, 2, 3:
						n, err := f.WriteAt(data, at)
						return fmt.Sprint(n), err
					case 4:
						return "", f.Truncate(at)
					case 5:
						b := make([]byte, len(data)+1)
						n, err := f.ReadAt(b, at)
						return fmt.Sprintf("%q", b[:n]), err
					case 6:
						size, err := f.Size()
						return fmt.Sprint(size), err
					case 7:
						if _, err := f.Size(); err != nil {
							return "", err // which the system's calls say in another way
						}
						if err := f.Allocate(0, at+1); !errors.Is(err, ErrNotSupported) {
							return "", err
						}
						return "", f.Truncate(at)
					case 8:
						if at%4 > 0 {
							return "", errors.Join(f.Sync(), f.SyncData())
						}
						return "", f.Close()
					}
					return "", nil
				})
			}
			if rnd.IntN(5) > 0 {
				continue
			}
			both("all", func(fsys FS, dir string) (string, error) { return contents(t, fsys, dir), nil })
		}
	}
}

// Property: who writes nothing changes nothing, wherever.
func TestMemWritesNothing(t *testing.T) {
	m := NewMem()
	f := create(t, m, inDir("f"))
	if n, err := f.WriteAt(nil, 100); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if got := names(t, m); got != "[f=]" {
		t.Errorf("there is %q", got)
	}
}
