package cli

import (
	"bytes"
	"context"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// leaseData is the document of lease read and write.
type leaseData struct {
	LeaseID api.LeaseID `json:"lease_id"`
	CellID  api.CellID  `json:"cell_id"`
	Offset  int64       `json:"offset"`
	Length  int64       `json:"length"`
	Data    []byte      `json:"data,omitempty"` // base64; of a read
}

// maxDocumentData bounds what is put into one JSON document.
const maxDocumentData = 64 << 20

type leaseReadOptions struct {
	offset ui.Size
	length ui.Size
	bind   bindOptions
}

func (a *app) leaseRead() *cobra.Command {
	var o leaseReadOptions
	cmd := &cobra.Command{
		Use:     "read LEASE",
		Short:   "Read what a mem or block lease holds, raw, to standard output",
		Example: "  grafos lease read LEASE --offset 4K --length 512 | xxd",
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
	fs.Var(&o.length, "length", "how much to read (default: to the end)")
	o.bind.add(cmd)
	return cmd
}

func (o *leaseReadOptions) run(ctx context.Context, s *session, b *binding) error {
	length, err := b.span(o.offset.N, o.length.N)
	if err != nil {
		return err
	}
	if o.length.Given && o.length.N == 0 {
		length = 0
	}
	if !s.Output.Machine() {
		return b.read(ctx, s.Out, o.offset.N, length)
	}
	if length > maxDocumentData {
		return api.Refuse(api.TooLarge, "%s do not go into one JSON document: at most %s do",
			api.FormatSize(length), api.FormatSize(maxDocumentData)).WithHint("read without --json, or with --length")
	}
	var data bytes.Buffer
	if err := b.read(ctx, &data, o.offset.N, length); err != nil {
		return err
	}
	doc := leaseData{LeaseID: b.lease.ID, CellID: b.lease.CellID, Offset: o.offset.N, Length: length, Data: data.Bytes()}
	return s.Print(doc, nil)
}
