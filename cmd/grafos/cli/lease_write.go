package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

type leaseWriteOptions struct {
	write  writeFlags
	offset ui.Size
	sync   bool
	bind   bindOptions
}

func (a *app) leaseWrite() *cobra.Command {
	var o leaseWriteOptions
	cmd := &cobra.Command{
		Use:     "write LEASE < DATA",
		Short:   "Write standard input into a mem or block lease",
		Example: "  grafos lease write LEASE --offset 4K < page.bin",
		Args:    exactly("LEASE"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			b, err := a.bind(ctx, s, args[0], o.bind)
			if err != nil {
				return err
			}
			defer b.close()
			return o.run(ctx, s, b)
		}),
	}
	fs := cmd.Flags()
	fs.Var(&o.offset, "offset", "where to begin, in bytes or with K, M, G, T")
	fs.BoolVar(&o.sync, "sync", false, "wait until it is on the cell's disk, where the lease has one")
	o.bind.add(cmd)
	o.write.add(cmd)
	return cmd
}

func (o *leaseWriteOptions) run(ctx context.Context, s *session, b *binding) error {
	if _, err := b.span(o.offset.N, 0); err != nil {
		return err
	}
	var n int64
	if !o.write.dryRun {
		var err error
		if n, err = o.send(ctx, s, b); err != nil {
			if n > 0 {
				s.Note("%d bytes were written before it failed", n)
			}
			return err
		}
	}
	o.write.dry(s.UI)
	doc := leaseData{LeaseID: b.lease.ID, CellID: b.lease.CellID, Offset: o.offset.N, Length: n}
	s.Progress(ui.Span{Text: api.FormatSize(n) + " written to lease " + string(b.lease.ID), Style: ui.Dim})
	return s.Print(doc, func(p *ui.Page) { p.Name(string(b.lease.ID)) })
}

// send writes standard input. What is longer than the lease is refused before anything of it is
// written.
func (o *leaseWriteOptions) send(ctx context.Context, s *session, b *binding) (n int64, err error) {
	in, err := spool(s.In, b.lease.Amount-o.offset.N)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, in.close()) }()
	if _, err := b.span(o.offset.N, in.length); err != nil {
		return 0, err
	}
	return b.write(ctx, in, o.offset.N, in.length, o.sync)
}
