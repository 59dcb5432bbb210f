package cli

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// Execute runs the command that args name, shows what went wrong and returns the exit
// code. It is called once for a tree. ctx ends with the process: at Ctrl-C a command stops
// waiting and says what goes on without it.
func Execute(ctx context.Context, root *cobra.Command, args []string) int {
	began := false
	noteBegin(root, &began)
	for _, c := range root.Commands() {
		if c.GroupID == "" && root.ContainsGroup(groupNode) {
			c.GroupID = groupNode
		}
	}
	// Cobra takes nil for the arguments of the process.
	root.SetArgs(append([]string{}, args...))
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !began {
		err = usage(cmd, err)
	}
	if cmd.Context() == nil || !ui.Prepared(cmd.Context()) {
		s := ui.NewIO(root.InOrStdin(), root.OutOrStdout(), root.ErrOrStderr(), os.Getenv)
		return (&ui.UI{IO: s, Output: ui.Output{Format: ui.FormatOf(args)}}).Fail(err)
	}
	return ui.From(cmd.Context()).Fail(err)
}

// noteBegin makes every command of the tree say that it began: what fails before is a
// fault of what was typed, whatever kind of error cobra made of it.
func noteBegin(cmd *cobra.Command, began *bool) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*began = true
			return run(cmd, args)
		}
	}
	if run := cmd.Run; run != nil {
		cmd.Run = func(cmd *cobra.Command, args []string) {
			*began = true
			run(cmd, args)
		}
	}
	for _, c := range cmd.Commands() {
		noteBegin(c, began)
	}
}

// usage returns an error of the command line as a problem with what to do next.
func usage(cmd *cobra.Command, err error) error {
	problem := ui.Usage(err)
	if problem.Hint == "" {
		problem.Hint = cmd.CommandPath() + " --help"
	}
	return problem
}

// namedFlag is what pflag's error about a flag that does not exist tells.
type namedFlag interface {
	error
	GetSpecifiedName() string
}

// flagError says what a flag takes that was given something else, and adds what one that does not exist
// was probably meant to be.
func flagError(cmd *cobra.Command, err error) error {
	if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return ui.BadValue("--"+bad.GetFlag().Name, bad.GetValue(), bad.GetFlag().Value, bad.Unwrap())
	}
	problem := ui.Usage(err)
	e, ok := asNamedFlag(err)
	if !ok {
		return problem
	}
	known := flagNames(cmd)
	if near := ui.Closest(e.GetSpecifiedName(), known); near != "" && near != e.GetSpecifiedName() {
		return problem.WithHint("--%s", near)
	}
	return problem
}

// exactly refuses any other number of arguments than names has; names say what they are.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return given(cmd, names, args)
		}
		if len(names) == 0 {
			return api.Refuse(api.InvalidArgument, "%s takes no argument: %q", cmd.CommandPath(), ui.Clean(args[0]))
		}
		return api.Refuse(api.InvalidArgument, "%s takes %s: %d given", cmd.CommandPath(), strings.Join(names, " and "), len(args))
	}
}

// given refuses an argument with nothing in it, as a shell's variable that was not set leaves: an empty id
// is a prefix of every one.
func given(cmd *cobra.Command, names, args []string) error {
	for i, arg := range args {
		if strings.TrimSpace(arg) == "" {
			return api.Refuse(api.InvalidArgument, "%s: %s is empty", cmd.CommandPath(), names[i]).
				WithHint("is a variable of the shell not set? %s --help", cmd.CommandPath())
		}
	}
	return nil
}

// atMostOne refuses more than one argument; name says what it is.
func atMostOne(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) <= 1 {
			return given(cmd, []string{name}, args)
		}
		return api.Refuse(api.InvalidArgument, "%s takes at most one %s: %d given", cmd.CommandPath(), name, len(args))
	}
}
