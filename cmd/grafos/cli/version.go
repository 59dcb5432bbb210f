package cli

import (
	"runtime"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

type versionDocument struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "The version of this program",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc := versionDocument{Version: a.o.Version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
			return ui.From(cmd.Context()).Print(doc, func(p *ui.Page) {
				p.Name(doc.Version)
				p.Text("grafos " + doc.Version + " (" + doc.Go + ", " + doc.OS + "/" + doc.Arch + ")")
			})
		},
	}
}
