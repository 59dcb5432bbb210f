package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func (a *app) raftTransfer() *cobra.Command {
	var write writeFlags
	cmd := &cobra.Command{
		Use:   "transfer [ID]",
		Short: "Hand the lead to another scheduler, and wait until it leads",
		Long: `Hand the lead to another scheduler: to the voter that is furthest when no ID is
given. The command returns when the other one leads.`,
		Args: atMostOne("ID"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			to, err := s.transferTo(ctx, args)
			if err != nil {
				return err
			}
			done, err := s.RaftTransfer(ctx, to, write.options())
			if err != nil {
				return write.repeatable(err)
			}
			write.dry(s.UI)
			return s.Print(done, func(p *ui.Page) { transferView(p, *done) })
		}),
	}
	write.add(cmd)
	return cmd
}

func (s *session) transferTo(ctx context.Context, args []string) (api.NodeID, error) {
	if len(args) == 0 {
		return "", nil
	}
	list, err := s.RaftMembers(ctx)
	if err != nil {
		return "", err
	}
	return memberID(list, args[0])
}

func transferView(p *ui.Page, t api.RaftTransfer) {
	p.Name(string(t.To))
	table := ui.Table{Header: []string{"FROM", "TO"}}
	table.Row(orDash(string(t.From)), orDash(string(t.To)).In(ui.Good))
	p.Table(table)
}
