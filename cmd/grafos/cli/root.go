package cli

import (
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// Services is what the commands ask a cluster for.
type Services interface {
	api.Services
	Close() error
}

// Options say what the commands stand on.
type Options struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// Getenv reads the environment; nil is an empty one.
	Getenv func(string) string
	// Version is what grafos version prints.
	Version string
	// Connect opens the services of a cluster. It need not reach it yet.
	Connect func(ui.Connection) (Services, error)

	// DataPlane opens the way to a cell's data plane; nil is mTLS as the connection says.
	DataPlane func(ui.Connection, api.ProviderID, api.CellID) (*http.Client, error)
	// Dir is where a dev cluster and a program are looked for; "" is the working directory.
	Dir string
	// Now is the clock that ages are shown by; nil is time.Now.
	Now func() time.Time
}

// app is what the constructors of the commands share.
type app struct {
	o       Options
	globals ui.Globals
}

// Root returns the tree of client commands. The commands of a node are added to it: to
// the root itself, or to a group that Group returns.
func Root(o Options) *cobra.Command {
	a := &app{o: o.withDefaults()}
	root := &cobra.Command{
		Use:           "grafos",
		Short:         "A highly available control plane for WebAssembly work",
		Long:          rootLong,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          knownCommand,
		RunE:          help,

		PersistentPreRunE: a.prepare,
	}
	root.SetIn(a.o.Stdin)
	root.SetOut(a.o.Stdout)
	root.SetErr(a.o.Stderr)
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommandGroupID(groupRest)
	root.SetUsageTemplate(usageTemplate)
	root.CompletionOptions.DisableDefaultCmd = true
	a.globals.AddFlags(root)
	root.AddGroup(
		&cobra.Group{ID: groupWork, Title: "Work:"},
		&cobra.Group{ID: groupFleet, Title: "Fleet:"},
		&cobra.Group{ID: groupNode, Title: "Nodes:"},
		&cobra.Group{ID: groupRest, Title: "This program:"},
	)

	add(root, groupWork, a.deploy(), a.runs(), a.suggest(a.artifacts(), listRuns), a.lease())
	add(root, groupFleet, a.provider(), a.fabric(), a.conformance(), a.admin(), a.operator())
	add(root, groupRest, a.version(), a.completion())
	return root
}

const rootLong = `grafOS runs WebAssembly work on the cells of your providers, under leases that end.

Where the cluster is and who you are comes from flags, then GRAFOS_* in the environment,
then the current context in contexts.toml, then a running dev cluster of this directory or
one above it. Standard output carries data only: a table on a terminal, tab-separated
values in a pipe, the document of the API with --json.

Exit codes: 0 ok, 1 failure or unhealthy, 2 usage or a damaged file, 4 refused, 5 not found,
6 not authorised, 7 conflict, 8 unreachable, no leader or timeout (repeat it).`

// usageTemplate is cobra's without the global flags under every command: they are the same
// everywhere, and grafos --help has them.
const usageTemplate = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{end}}
{{- if .HasExample}}

Examples:
{{.Example}}
{{- end}}
{{- if .HasAvailableSubCommands}}{{$cmds := .Commands}}
{{- range $group := .Groups}}

{{.Title}}
{{- range $cmds}}{{if and (eq .GroupID $group.ID) .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}
{{- end}}{{end}}{{end}}
{{- if not .AllChildCommandsHaveGroup}}

{{if .Groups}}More:{{else}}Commands:{{end}}
{{- range $cmds}}{{if and (eq .GroupID "") (or .IsAvailableCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding}} {{.Short}}
{{- end}}{{end}}{{end}}
{{- end}}
{{- if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{- end}}
{{- if .HasParent}}

Flags of every command (-o, --json, --jq, --fabric and so on): {{.Root.Name}} --help
{{- end}}
`

// The groups of the help page.
const (
	groupWork  = "work"
	groupFleet = "fleet"
	groupNode  = "node" // what others add
	groupRest  = "rest"
)

func add(root *cobra.Command, group string, cmds ...*cobra.Command) {
	for _, c := range cmds {
		c.GroupID = group
		root.AddCommand(c)
	}
}

func (o Options) withDefaults() Options {
	if o.Getenv == nil {
		o.Getenv = func(string) string { return "" }
	}
	if o.DataPlane == nil {
		o.DataPlane = ui.Connection.DataPlane
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Dir == "" {
		// Without a working directory no dev cluster is found, and that is all.
		o.Dir, _ = os.Getwd()
	}
	return o
}

// prepare makes the UI of the command that is about to run.
func (a *app) prepare(cmd *cobra.Command, _ []string) error {
	s := ui.NewIO(cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr(), a.o.Getenv)
	s.Now = a.o.Now
	u, err := a.globals.UI(s, a.o.Getenv, a.o.Dir)
	if err != nil {
		return err
	}
	cmd.SetContext(ui.With(cmd.Context(), u))
	return nil
}
