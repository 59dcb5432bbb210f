package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"

	"github.com/grafos/grafos/api"
)

// ConformCell runs the conformance suite against a cell. A stream that breaks is the end of the suite:
// whether its result was recorded, the cell's record tells.
func (c *Client) ConformCell(ctx context.Context, p api.ProviderID, cell api.CellID, o api.WriteOptions) iter.Seq2[api.ConformanceStep, error] {
	return func(yield func(api.ConformanceStep, error) bool) {
		k := write(http.MethodPost, "/providers/"+seg(p)+"/cells/"+seg(cell)+":conformance", nil, o)
		k.accept, k.stream = ndjson, true
		var body *vigil
		err := c.each(ctx, k, func(resp *http.Response) error {
			body = watchOver(resp.Body, idleLimit)
			return nil
		})
		if err != nil {
			yield(api.ConformanceStep{}, err)
			return
		}
		defer func() { _ = body.Close() }()
		for in := newLines(body); ; {
			var step api.ConformanceStep
			if err := in.next(&step); err != nil {
				yield(api.ConformanceStep{}, broke(ctx, err, p, cell))
				return
			}
			if !yield(step, nil) || step.Report != nil {
				return
			}
		}
	}
}

// broke says what became of a suite whose stream ended without its report.
func broke(ctx context.Context, err error, p api.ProviderID, cell api.CellID) error {
	_, broken := errors.AsType[*brokenError](err)
	if !broken && !errors.Is(err, io.EOF) {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return api.Refuse(api.OutcomeUnknown, "the scheduler that ran the suite was lost before its end: %v", err).
		WithHint("run it again: grafos conformance run %s %s", p, cell)
}

// MarkProvider marks all cells of a provider.
func (c *Client) MarkProvider(ctx context.Context, p api.ProviderID, r api.MarkRequest, o api.WriteOptions) (*api.ProviderStatus, error) {
	return fetch[api.ProviderStatus](ctx, c, write(http.MethodPost, "/providers/"+seg(p)+":mark", r, o))
}

// MarkCell marks one cell.
func (c *Client) MarkCell(ctx context.Context, cell api.CellID, r api.MarkRequest, o api.WriteOptions) (*api.CellAnswer, error) {
	return fetch[api.CellAnswer](ctx, c, write(http.MethodPost, "/cells/"+seg(cell)+":mark", r, o))
}
