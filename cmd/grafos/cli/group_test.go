package cli

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestGroupFindsAndMakes(t *testing.T) {
	root := newRig(t).root(io.Discard, io.Discard)
	admin := Group(root, "admin")
	if len(admin.Commands()) == 0 {
		t.Error("the admin group is not the one of the tree")
	}
	dev := Group(root, "dev")
	if dev != Group(root, "dev") {
		t.Error("the dev group was made twice")
	}
}

// TestAddedCommands shows that the commands of a node get the same treatment: their
// errors before they begin are usage, those after it are what they are.
func TestAddedCommands(t *testing.T) {
	run := func(args ...string) (int, string) {
		var errOut bytes.Buffer
		root := newRig(t).root(io.Discard, &errOut)
		cmd := &cobra.Command{Use: "up", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return errors.New("disk is full") }}
		cmd.Flags().String("dir", "", "where")
		if err := cmd.MarkFlagRequired("dir"); err != nil {
			t.Fatal(err)
		}
		Group(root, "dev").AddCommand(cmd)
		return Execute(t.Context(), root, args), errOut.String()
	}
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"dev", "up"}, 2, "required flag"},
		{[]string{"dev", "up", "--dir", "x", "y"}, 2, "unknown command"},
		{[]string{"dev", "upp"}, 2, "Hint: grafos dev up"},
		{[]string{"dev", "up", "--dir", "x"}, 1, "disk is full"},
	} {
		code, text := run(tt.args...)
		if code != tt.code || !strings.Contains(text, tt.says) {
			t.Errorf("%v: exit %d, want %d: %s", tt.args, code, tt.code, text)
		}
	}
}

func TestHelp(t *testing.T) {
	r := newRig(t)
	r.run().want(t, 0, "Exit codes: 0 ok", "")
	r.run("lease").want(t, 0, "Ask for resources", "")
	r.run("deploy", "run", "--help").want(t, 0, "Ctrl-C stops waiting", "")
	r.run("completion", "fish").want(t, 0, "complete -c grafos", "")
}
