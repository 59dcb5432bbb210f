package ui

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
)

// Globals are the flags that every command takes.
type Globals struct {
	conn        connFlags
	output      string
	json        bool
	jq          string
	template    string
	timeout     time.Duration
	consistency string
	maxStale    time.Duration
	noColor     bool
	noInput     bool
}

// AddFlags binds the flags to the root command.
func (g *Globals) AddFlags(root *cobra.Command) {
	fs := root.PersistentFlags()
	g.conn.addFlags(root)
	fs.StringVarP(&g.output, "output", "o", "", "`format` of the answer: table (default), wide, json, jsonl or name")
	fs.BoolVar(&g.json, "json", false, "answer as the API does, in JSON (-o json)")
	fs.StringVar(&g.jq, "jq", "", "filter the JSON answer with a jq `expression`")
	fs.StringVar(&g.template, "template", "", "shape the JSON answer with a Go `template`")
	fs.DurationVar(&g.timeout, "timeout", 0, "give up after this long (default: 30s a request, no bound on the whole)")
	fs.StringVar(&g.consistency, "consistency", "", "of reads: linearizable (default) or stale")
	fs.DurationVar(&g.maxStale, "max-stale", 0, "read stale, but from a scheduler that heard its leader this long ago at most")
	fs.BoolVar(&g.noColor, "no-color", false, "no colour (also NO_COLOR)")
	fs.BoolVar(&g.noInput, "no-input", false, "never ask; fail instead")
}

// UI returns the UI that the parsed flags ask for. Bad values are refused as
// invalid_argument.
func (g *Globals) UI(s IO, getenv func(string) string, dir string) (*UI, error) {
	if g.noColor {
		s.Color, s.ErrColor = false, false
	}
	u := &UI{
		IO:          s,
		Output:      Output{Format: Format(g.output), JQ: g.jq, Template: g.template},
		NoInput:     g.noInput,
		Timeout:     g.timeout,
		Consistency: api.Consistency(g.consistency),
		MaxStale:    g.maxStale,
	}
	if u.MaxStale > 0 && u.Consistency == "" {
		u.Consistency = api.Stale
	}
	if u.Output.Format == "" {
		u.Output.Format = FormatTable
		if g.json {
			u.Output.Format = FormatJSON
		}
	}
	u.Connect = func() (Connection, error) {
		c, err := g.conn.resolve(getenv, dir)
		if err != nil {
			return Connection{}, err
		}
		c.Timeout = g.timeout
		return c, nil
	}
	return u, g.check(u)
}

func (g *Globals) check(u *UI) error {
	if err := u.Output.Check(); err != nil {
		return err
	}
	if g.json && !u.Output.Machine() {
		return api.Refuse(api.InvalidArgument, "--json and -o %s exclude each other", g.output)
	}
	if g.timeout < 0 {
		return api.Refuse(api.InvalidArgument, "--timeout %s is negative", g.timeout)
	}
	switch u.Consistency {
	case "", api.Linearizable, api.Stale:
	default:
		return api.Refuse(api.InvalidArgument, "--consistency %q is not one of linearizable, stale", g.consistency)
	}
	if g.maxStale < 0 || g.maxStale > api.MaxWait {
		return api.Refuse(api.InvalidArgument, "--max-stale %s is not from 0s to %s", g.maxStale, api.MaxWait)
	}
	if g.maxStale > 0 && u.Consistency != api.Stale {
		return api.Refuse(api.InvalidArgument, "--max-stale bounds stale reads, and --consistency asks for %s ones", u.Consistency)
	}
	return nil
}
