// Command grafos is the scheduler, the cell agent and the command line of grafOS.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/cellagent/tasklet"
	"github.com/grafos/grafos/cmd/grafos/cli"
	"github.com/grafos/grafos/cmd/grafos/node"
)

func main() {
	os.Exit(run(os.Args))
}

// agentName is the other name of the program: by it, it is a cell agent.
const agentName = "grafos-cell-agent"

func run(args []string) int {
	// A worker runs other people's code: nothing else of grafOS starts in its process.
	if len(args) > 1 && args[1] == "tasklet-worker" {
		return tasklet.Worker(context.Background(), args[2:])
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := cli.Root(cli.Options{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Version: version, Connect: connect,
	})
	o := node.Options{Version: version}
	add(root, o)
	rest := args[1:]
	if filepath.Base(args[0]) == agentName {
		rest = append([]string{"cell-agent"}, rest...)
	}
	return cli.Execute(ctx, root, rest)
}

func add(root *cobra.Command, o node.Options) {
	root.AddCommand(node.Server(o), node.CellAgent(o))
	dev := cli.Group(root, "dev")
	dev.Short = "A real cluster on loopback"
	dev.AddCommand(node.Dev()...)
	cli.Group(root, "admin").AddCommand(node.Admin()...)
	operator := cli.Group(root, "operator")
	operator.AddCommand(node.Operator()...)
	snapshot := cli.Group(operator, "snapshot")
	snapshot.Short = "The whole state: save, look into, put back"
	snapshot.AddCommand(node.Snapshot()...)
	cloud := cli.Group(root, "cloud")
	cloud.Short = "Bring hosts in as cells"
	cloud.AddCommand(node.BootstrapCell())
}
