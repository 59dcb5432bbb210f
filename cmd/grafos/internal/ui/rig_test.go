package ui

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

func noon() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

// person is a UI with a person at a terminal who types in.
func person(in string) (u *UI, out, errOut *bytes.Buffer) {
	out, errOut = &bytes.Buffer{}, &bytes.Buffer{}
	return &UI{
		IO:     IO{In: strings.NewReader(in), Out: out, Err: errOut, InTerminal: true, OutTerminal: true, ErrTerminal: true, Width: 100, Now: noon},
		Output: Output{Format: FormatTable},
	}, out, errOut
}

func environ(pairs ...string) func(string) string {
	return func(key string) string {
		for _, pair := range pairs {
			if name, value, _ := strings.Cut(pair, "="); name == key {
				return value
			}
		}
		return ""
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantProblem fails unless err is of the kind and says text.
func wantProblem(t *testing.T, err error, kind api.Kind, text string) {
	t.Helper()
	if api.KindOf(err) != kind || !strings.Contains(err.Error(), text) {
		t.Errorf("error is %v, want %s with %q", err, kind, text)
	}
}
