package node

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// Dev is the commands of grafos dev: a real cluster of processes on loopback.
func Dev() []*cobra.Command {
	return []*cobra.Command{devUp(), devStatus(), devEnv(), devKill(), devRestart(), devDown()}
}

const defaultDevDir = ".grafos/dev"

func dirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", "", "folder of the cluster (default: "+defaultDevDir+", here or in a folder above)")
}

func devUp() *cobra.Command {
	var dir string
	var schedulers, cells int
	var offer offerSettings
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start schedulers and cells as processes on loopback",
		Long: `Start a real cluster on loopback: schedulers and cells as processes of their own, with
mutual TLS, Raft on disk and short timers. It returns when there is a leader and every cell
is ready; the nodes stay. Where a cluster runs already, what of it does not run is started.

Every cell offers the whole host, or what --cpu, --mem, --net and --gpu say of each of them.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u := ui.From(cmd.Context())
			ctx, cancel := u.Bound(cmd.Context())
			defer cancel()
			if schedulers != 3 && schedulers != 5 && schedulers != 1 {
				return api.Refuse(api.InvalidArgument, "--schedulers is %d: it is 1, 3 or 5", schedulers)
			}
			if cells < 1 || cells > 64 {
				return api.Refuse(api.InvalidArgument, "--cells is %d: it is from 1 to 64", cells)
			}
			if err := offer.check(ctx); err != nil {
				return err
			}
			d, err := openDev(dir, true)
			if err != nil {
				return err
			}
			defer d.unlock()
			up := upper{dev: d, ui: u, began: time.Now(), offer: offer.args()}
			if err := up.run(ctx, schedulers, cells); err != nil {
				return err
			}
			return d.show(ctx, u, &devTimes{LeaderMs: up.leader.Milliseconds(), UpMs: time.Since(up.began).Milliseconds()})
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().IntVar(&schedulers, "schedulers", 3, "how many schedulers: 1, 3 or 5")
	cmd.Flags().IntVar(&cells, "cells", 3, "how many cells")
	offer.addOffer(cmd)
	return cmd
}

func devStatus() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the nodes of the dev cluster",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u := ui.From(cmd.Context())
			ctx, cancel := u.Bound(cmd.Context())
			defer cancel()
			d, err := openDev(dir, false)
			if err != nil {
				return err
			}
			return d.show(ctx, u, nil)
		},
	}
	dirFlag(cmd, &dir)
	return cmd
}

// envAnswer is what a shell needs to reach the dev cluster.
type envAnswer struct {
	Fabric string `json:"GRAFOS_FABRIC"`
	CA     string `json:"GRAFOS_CA"`
	Cert   string `json:"GRAFOS_CERT"`
	Key    string `json:"GRAFOS_KEY"`
	Tenant string `json:"GRAFOS_TENANT"`
}

func devEnv() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "env",
		Short: `Print what a shell needs to reach the dev cluster: eval "$(grafos dev env)"`,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := openDev(dir, false)
			if err != nil {
				return err
			}
			a := envAnswer{Fabric: strings.Join(d.urls(), ","), CA: d.path(d.state.CA), Cert: d.path(d.state.Cert), Key: d.path(d.state.Key), Tenant: d.state.Tenant}
			return ui.From(cmd.Context()).Print(a, func(p *ui.Page) {
				for _, kv := range [][2]string{{"FABRIC", a.Fabric}, {"CA", a.CA}, {"CERT", a.Cert}, {"KEY", a.Key}, {"TENANT", a.Tenant}} {
					p.Text(fmt.Sprintf("export GRAFOS_%s='%s'", kv[0], strings.ReplaceAll(kv[1], "'", `'\''`)))
				}
			})
		},
	}
	dirFlag(cmd, &dir)
	return cmd
}

// nodeAnswer says what was done to a node.
type nodeAnswer struct {
	Name   string `json:"name"`
	PID    int    `json:"pid"`
	Action string `json:"action"`
}

func (a nodeAnswer) tell(u *ui.UI) error {
	return u.Print(a, func(p *ui.Page) {
		p.Name(a.Name)
		p.Text(fmt.Sprintf("%s %s (pid %d)", a.Name, a.Action, a.PID))
	})
}

func oneNode(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return api.Refuse(api.InvalidArgument, "%s takes the name of one node: %d given", cmd.CommandPath(), len(args)).
		WithHint("see the names: grafos dev status")
}

// completeNode offers a shell the names of the nodes.
func completeNode(dir *string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		d, err := openDev(*dir, false)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []cobra.Completion
		for _, n := range d.nodes() {
			names = append(names, n.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func devKill() *cobra.Command {
	var dir, signal string
	cmd := &cobra.Command{
		Use:   "kill NODE",
		Short: "Kill a node as kill -9 does, or stop and continue it",
		Args:  oneNode,

		ValidArgsFunction: completeNode(&dir),
		RunE: func(cmd *cobra.Command, args []string) error {
			sig, err := signalOf(signal)
			if err != nil {
				return err
			}
			d, err := openDev(dir, true)
			if err != nil {
				return err
			}
			defer d.unlock()
			n, err := d.node(args[0])
			if err != nil {
				return err
			}
			if err := n.signal(cmd.Context(), sig); err != nil {
				return err
			}
			return nodeAnswer{n.Name, n.PID, "was sent SIG" + strings.ToUpper(signal)}.tell(ui.From(cmd.Context()))
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().StringVar(&signal, "signal", "KILL", "KILL, STOP, CONT or TERM")
	return cmd
}

func signalOf(name string) (syscall.Signal, error) {
	switch strings.TrimPrefix(strings.ToUpper(name), "SIG") {
	case "KILL":
		return syscall.SIGKILL, nil
	case "STOP":
		return syscall.SIGSTOP, nil
	case "CONT":
		return syscall.SIGCONT, nil
	case "TERM":
		return syscall.SIGTERM, nil
	}
	return 0, api.Refuse(api.InvalidArgument, "--signal is %q: it is KILL, STOP, CONT or TERM", ui.Clean(name))
}

func devRestart() *cobra.Command {
	var dir, signal string
	cmd := &cobra.Command{
		Use:   "restart NODE",
		Short: "Kill a node and start it again with its identity",
		Args:  oneNode,

		ValidArgsFunction: completeNode(&dir),
		RunE: func(cmd *cobra.Command, args []string) error {
			u := ui.From(cmd.Context())
			sig, err := signalOf(signal)
			if err != nil {
				return err
			}
			d, err := openDev(dir, true)
			if err != nil {
				return err
			}
			defer d.unlock()
			n, err := d.node(args[0])
			if err != nil {
				return err
			}
			if err := d.restart(cmd.Context(), n, sig); err != nil {
				return err
			}
			return nodeAnswer{n.Name, n.PID, "restarted"}.tell(u)
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().StringVar(&signal, "signal", "KILL", "how it is ended first: KILL or TERM")
	return cmd
}

// downAnswer says what dev down ended.
type downAnswer struct {
	Stopped []string `json:"stopped"`
}

func devDown() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop every node and remove the cluster; the logs stay",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u := ui.From(cmd.Context())
			a := downAnswer{Stopped: []string{}}
			d, err := openDev(dir, true)
			if api.KindOf(err) == api.NotFound || err == nil && d.state.empty() {
				if err == nil {
					d.unlock()
				}
				return u.Print(a, func(p *ui.Page) { p.Text("no dev cluster runs here") })
			}
			if err != nil {
				return err
			}
			defer d.unlock()
			if a.Stopped, err = d.down(cmd.Context()); err != nil {
				return err
			}
			return u.Print(a, func(p *ui.Page) {
				p.Text(fmt.Sprintf("stopped %s; the logs are in %s", ui.Count(len(a.Stopped), "node"), d.path("logs")))
			})
		},
	}
	dirFlag(cmd, &dir)
	return cmd
}
