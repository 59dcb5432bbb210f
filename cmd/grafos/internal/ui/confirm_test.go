package ui

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

func TestConfirm(t *testing.T) {
	for _, tt := range []struct {
		in, word string
		agreed   bool
	}{
		{"y\n", "", true},
		{"YES\n", "", true},
		{"yes", "", true},
		{"\n", "", false},
		{"", "", false},
		{"no\n", "", false},
		{"aws-1\n", "aws-1", true},
		{"y\n", "aws-1", false},
	} {
		u, _, errOut := person(tt.in)
		err := u.Confirm(t.Context(), false, "Revoke \x1b[2Jit?", tt.word)
		if (err == nil) != tt.agreed {
			t.Errorf("%q to %q: %v", tt.in, tt.word, err)
		}
		if err != nil && ExitCode(err) != ExitFailure {
			t.Errorf("a no exits %d", ExitCode(err))
		}
		if strings.Contains(errOut.String(), "\x1b") {
			t.Errorf("the question clears the screen: %q", errOut.String())
		}
	}
}

func TestConfirmWithNobodyToAsk(t *testing.T) {
	for name, change := range map[string]func(*UI){
		"no terminal": func(u *UI) { u.InTerminal = false },
		"no stderr":   func(u *UI) { u.ErrTerminal = false },
		"no input":    func(u *UI) { u.NoInput = true },
		"json":        func(u *UI) { u.Output.Format = FormatJSON },
	} {
		t.Run(name, func(t *testing.T) {
			u, _, errOut := person("y\n")
			change(u)
			err := u.Confirm(t.Context(), false, "Sure?", "")
			wantProblem(t, err, api.InvalidArgument, "nobody to ask")
			if ExitCode(err) != ExitUsage || errOut.Len() > 0 {
				t.Errorf("exit %d, stderr %q", ExitCode(err), errOut)
			}
			if err := u.Confirm(t.Context(), true, "Sure?", ""); err != nil {
				t.Errorf("--yes: %v", err)
			}
		})
	}
}

func TestConfirmEndsWithItsContext(t *testing.T) {
	u, _, _ := person("")
	reader, writer := io.Pipe()
	t.Cleanup(func() { _ = writer.Close() })
	u.In = reader
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := u.Confirm(ctx, false, "Sure?", ""); err == nil {
		t.Error("an interrupted question was answered")
	}
}
