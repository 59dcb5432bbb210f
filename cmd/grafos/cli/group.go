package cli

import (
	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// Group returns the command of root that only holds others, such as admin or dev, and
// makes it when it is not there yet; its Short is then the caller's to set.
func Group(root *cobra.Command, name string) *cobra.Command {
	for _, c := range root.Commands() {
		if c.Name() == name {
			return c
		}
	}
	c := group(name, "Commands of "+name)
	root.AddCommand(c)
	return c
}

// group is a command that only holds others: alone it shows its help, with a word that is
// none of its commands it fails.
func group(name, short string, cmds ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: name, Short: short, Args: knownCommand, RunE: help}
	c.AddCommand(cmds...)
	return c
}

func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// knownCommand refuses the arguments of a group: what is left of them is a command that
// does not exist.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	problem := api.Refuse(api.InvalidArgument, "%s has no command %q", cmd.CommandPath(), ui.Clean(args[0]))
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	if near := ui.Closest(args[0], names); near != "" {
		return problem.WithHint("%s %s", cmd.CommandPath(), near)
	}
	return problem.WithHint("%s --help", cmd.CommandPath())
}
