package ui

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode"

	"github.com/grafos/grafos/api"
)

func TestFormatOf(t *testing.T) {
	for args, want := range map[string]Format{
		"":                           FormatTable,
		"run list":                   FormatTable,
		"run list --json":            FormatJSON,
		"--json run list -o wide":    FormatJSON,
		"run list --json=false":      FormatTable,
		"run list -o json":           FormatJSON,
		"run list -ojsonl":           FormatJSONL,
		"run list --output=json":     FormatJSON,
		"run list --jq .x":           FormatJSON,
		"deploy run -- --json":       FormatTable,
		"deploy run -o json -- -o x": FormatJSON,
	} {
		if got := FormatOf(strings.Fields(args)); got != want {
			t.Errorf("%q: %s, want %s", args, got, want)
		}
	}
}

func TestPrintForEveryReader(t *testing.T) {
	doc := map[string]any{"index": 7, "text": "<a & b>"}
	view := func(p *Page) {
		p.Name("one")
		p.Line(Span{Text: "title", Style: Bold})
		table := Table{Header: []string{"NAME", "SIZE"}}
		table.Row(ID("one"), V("1 KiB", "1024").In(Good))
		p.Table(table)
		p.Fields(F("fuel used", T("7")), F("empty", T("")))
	}
	for name, tt := range map[string]struct {
		change func(*UI)
		want   string
	}{
		"terminal":  {func(*UI) {}, "title\nNAME  SIZE\none   1 KiB\nfuel used  7\n"},
		"colour":    {func(u *UI) { u.Color = true }, "\x1b[1mtitle\x1b[0m\n\x1b[2mNAME\x1b[0m  \x1b[2mSIZE\x1b[0m\none   \x1b[32m1 KiB\x1b[0m\n\x1b[2mfuel used\x1b[0m  7\n"},
		"pipe":      {func(u *UI) { u.OutTerminal = false }, "one\t1024\nfuel_used\t7\nempty\t\n"},
		"names":     {func(u *UI) { u.Output.Format = FormatName }, "one\n"},
		"json":      {func(u *UI) { u.Output.Format, u.OutTerminal = FormatJSON, false }, `{"index":7,"text":"<a & b>"}` + "\n"},
		"json, tty": {func(u *UI) { u.Output.Format = FormatJSON }, "{\n  \"index\": 7,\n  \"text\": \"<a & b>\"\n}\n"},
		"jsonl":     {func(u *UI) { u.Output.Format = FormatJSONL }, `{"index":7,"text":"<a & b>"}` + "\n"},
		"jq":        {func(u *UI) { u.Output.JQ = ".text" }, "<a & b>\n"},
		"template":  {func(u *UI) { u.Output.Template = "{{.index}}!" }, "7!"},
	} {
		t.Run(name, func(t *testing.T) {
			u, out, _ := person("")
			tt.change(u)
			if err := u.Print(doc, view); err != nil {
				t.Fatal(err)
			}
			if out.String() != tt.want {
				t.Errorf("got  %q\nwant %q", out, tt.want)
			}
		})
	}
}

func TestSparseTable(t *testing.T) {
	u, out, _ := person("")
	table := Table{Header: []string{"A", "B", "C"}, Sparse: true}
	table.Row(ID("1"), V("-", "-"), T(""))
	table.Row(ID("2"), T(""), T("x"))
	if err := u.Print(nil, func(p *Page) { p.Table(table) }); err != nil || out.String() != "A  C\n1\n2  x\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestTableNeverCutsAnID(t *testing.T) {
	u, out, _ := person("")
	u.Width = 40
	id := strings.Repeat("i", 30)
	table := Table{Header: []string{"ID", "WHY"}}
	table.Row(ID(id), T(strings.Repeat("w ", 40)))
	if err := u.Print(nil, func(p *Page) { p.Table(table) }); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if len(strings.TrimSpace(line)) > 40 {
			t.Errorf("wider than the terminal: %q", line)
		}
	}
	if !strings.Contains(out.String(), id+"  w") {
		t.Errorf("%q", out)
	}
}

func TestFailForEveryReader(t *testing.T) {
	problem := api.Refuse(api.NotFound, "there is no lease l-1").WithHint("grafos lease list")
	wrapped := fmt.Errorf("renew: %w", problem)
	u, _, errOut := person("")
	if code := u.Fail(wrapped); code != ExitNotFound {
		t.Errorf("exit %d", code)
	}
	if want := "Error: renew: there is no lease l-1  (not_found)\nHint: grafos lease list\n"; errOut.String() != want {
		t.Errorf("stderr is %q, want %q", errOut, want)
	}
	u, _, errOut = person("")
	u.Output.Format = FormatJSON
	if u.Fail(wrapped); strings.Count(errOut.String(), "\n") != 1 || !strings.HasPrefix(errOut.String(), `{"type":"urn:grafos:problem:not_found"`) {
		t.Errorf("stderr is %q", errOut)
	}
	u, _, errOut = person("")
	if code := u.Fail(Silent(3)); code != 3 || errOut.Len() > 0 {
		t.Errorf("silent: exit %d, %q", code, errOut)
	}
	if code := u.Fail(nil); code != ExitOK {
		t.Errorf("nil exits %d", code)
	}
	if code := u.Fail(errors.New("disk is full")); code != ExitFailure || !strings.Contains(errOut.String(), "disk is full  (internal)") {
		t.Errorf("exit %d, %q", code, errOut)
	}
}

func TestMachinesAreNotTold(t *testing.T) {
	u, _, errOut := person("")
	u.Output.Format = FormatJSONL
	u.Note("a note")
	u.Progress(Span{Text: "progress"})
	if errOut.Len() > 0 {
		t.Errorf("stderr is %q", errOut)
	}
}

func TestNewIO(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	s := NewIO(file, file, file, environ())
	if s.OutTerminal || s.Color || s.ErrColor || s.InTerminal || s.Width != defaultWidth {
		t.Errorf("a file: %+v", s)
	}
	s = NewIO(file, &bytes.Buffer{}, file, environ("GRAFOS_FORCE_TTY=90", "NO_COLOR=1"))
	if !s.OutTerminal || s.Width != 90 || s.Color {
		t.Errorf("forced: %+v", s)
	}
	if s = NewIO(file, file, file, environ("CLICOLOR_FORCE=1", "COLUMNS=10")); !s.Color || s.Width != minWidth {
		t.Errorf("colour: %+v", s)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("plain")
	f.Add("\x1b[31mred\x07\r\n\u202e")
	f.Fuzz(func(t *testing.T, text string) {
		for _, r := range Clean(text) {
			if unicode.IsControl(r) {
				t.Errorf("%q keeps %q", text, r)
			}
		}
	})
}

// TestLocalFailure: what goes wrong on this machine is told with what to do about it.
func TestLocalFailure(t *testing.T) {
	for want, err := range map[string]error{
		"free space":    fmt.Errorf("write snapshot: %w", &os.PathError{Op: "write", Path: "/x/a", Err: syscall.ENOSPC}),
		"ls -ld":        fmt.Errorf("write snapshot: %w", &os.PathError{Op: "open", Path: "/x/a", Err: syscall.EACCES}),
		"exist":         fmt.Errorf("write snapshot: %w", &os.PathError{Op: "open", Path: "/x/a", Err: syscall.ENOENT}),
		"the cluster's": api.Refuse(api.NotFound, "none").WithHint("the cluster's own"),
	} {
		var out bytes.Buffer
		WriteProblem(&out, false, false, err)
		if !strings.Contains(out.String(), "Hint: ") || !strings.Contains(out.String(), want) {
			t.Errorf("%v: %s", err, out.String())
		}
	}
}
