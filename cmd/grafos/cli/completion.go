package cli

import (
	"bytes"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

type completionDocument struct {
	Shell  string `json:"shell"`
	Script string `json:"script"`
}

func (a *app) completion() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "A completion script for your shell",
		Long: `Print a completion script.

  bash:  source <(grafos completion bash)
  zsh:   grafos completion zsh > "${fpath[1]}/_grafos"
  fish:  grafos completion fish > ~/.config/fish/completions/grafos.fish`,
		Args:      exactly("bash, zsh or fish"),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			script, err := completionScript(cmd.Root(), args[0])
			if err != nil {
				return err
			}
			u := ui.From(cmd.Context())
			if u.Output.Machine() {
				return u.Print(completionDocument{Shell: args[0], Script: string(script)}, nil)
			}
			_, err = u.Out.Write(script)
			return err
		},
	}
}

func completionScript(root *cobra.Command, shell string) ([]byte, error) {
	var script bytes.Buffer
	var err error
	switch shell {
	case "bash":
		err = root.GenBashCompletionV2(&script, true)
	case "zsh":
		err = root.GenZshCompletion(&script)
	case "fish":
		err = root.GenFishCompletion(&script, true)
	default:
		return nil, api.Refuse(api.InvalidArgument, "shell %q is not one of bash, zsh, fish", ui.Clean(shell))
	}
	return script.Bytes(), err
}
