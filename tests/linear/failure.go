//go:build unix

package linear

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// WriteFailure writes what there is to know of a history that failed into the
// directory out: the operations as text and as JSON, and porcupine's picture.
func WriteFailure(out, title string, init State, history []Op, v Verdict) error {
	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	what := "several keys"
	if v.Key >= 0 {
		what = "the key " + keyName(v.Key)
	}
	head := fmt.Sprintf("%s\n%s: checked was %s\n", title, v.Result, what)
	if v.Result != porcupine.Ok {
		if o, ok := Culprit(init, history, time.Second); ok {
			head += fmt.Sprintf("not explained: client %d, %v, %v\n", o.Client, times(history, o), o)
		}
	}
	head += fmt.Sprintf("at the beginning: %s\n", model(init).DescribeState(init))
	b, err := json.MarshalIndent(struct {
		Init State
		Ops  []Op
	}{init, history}, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "history.json"), b, 0o666); err != nil {
		return err
	}
	if err := writeList(filepath.Join(out, "history.txt"), head, history, history); err != nil {
		return err
	}
	if err := writeList(filepath.Join(out, "checked.txt"), head, v.Ops, history); err != nil {
		return err
	}
	return porcupine.VisualizePath(model(init), v.Info, filepath.Join(out, "history.html"))
}

// ReadFailure reads what WriteFailure wrote of a history.
func ReadFailure(path string) (init State, history []Op, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return init, nil, err
	}
	var f struct {
		Init State
		Ops  []Op
	}
	err = json.Unmarshal(b, &f)
	return f.Init, f.Ops, err
}

func writeList(path, head string, ops, history []Op) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	fmt.Fprintf(w, "%s\nclient  call .. return (ms)\n", head)
	ops = slices.Clone(ops)
	slices.SortStableFunc(ops, func(a, b Op) int { return int(a.Call - b.Call) })
	for _, o := range ops {
		fmt.Fprintf(w, "%6d  %v  %v\n", o.Client, times(history, o), o)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// times tells when an operation was, in milliseconds since the history began.
func times(history []Op, o Op) string {
	ms := func(t int64) float64 { return float64(t-history[0].Call) / 1e6 }
	if o.Outcome == Unknown {
		return fmt.Sprintf("%10.3f ..        ???", ms(o.Call))
	}
	return fmt.Sprintf("%10.3f .. %10.3f", ms(o.Call), ms(o.Return))
}
