package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func (a *app) fabricCells() *cobra.Command {
	var watch bool
	var provider string
	cmd := &cobra.Command{
		Use:     "cells",
		Short:   "Every cell: its state, what is free on it, and why it is not ready",
		Example: "  grafos fabric cells --provider aws -o wide\n  grafos fabric cells --jq '.cells[] | select(.ready | not) | .cell_id'",
		Args:    exactly(),
		RunE: a.online(func(ctx context.Context, s *session, _ []string) error {
			return s.Show(ctx, watch, func(ctx context.Context, o api.ReadOptions) (ui.Watched, error) {
				list, err := s.ListCells(ctx, api.ProviderID(provider), o)
				if err != nil {
					return ui.Watched{}, err
				}
				return ui.Watched{Doc: list, Index: list.Index, Fresh: list.Freshness, View: func(p *ui.Page) { cellsView(p, list.Cells, s.Now()) }}, nil
			})
		}),
	}
	cmd.Flags().StringVar(&provider, "provider", "", "only the cells of this `provider`")
	watchFlag(cmd, &watch)
	return cmd
}
