package server

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grafos/grafos/api"
)

// suiteKeepAlive is how long a suite is silent at most.
const suiteKeepAlive = 5 * time.Second

// conformCell streams a suite as lines.
func (s *server) conformCell(x *exchange, r *http.Request) error {
	o, err := plainOptions(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	seq := s.config.Services.ConformCell(ctx, api.ProviderID(r.PathValue("p")), api.CellID(r.PathValue("c")), o)
	return stream(ctx, cancel, seq, newLineWriter[api.ConformanceStep](x), suiteKeepAlive)
}

func describeConformCell(op *huma.Operation) {
	op.Parameters = []*huma.Param{
		queryParam("dry_run", huma.TypeBoolean, "Say whether it could be run, and run nothing."),
		queryParam("reason", huma.TypeString, "Why, for the audit chain."),
	}
	op.Responses["200"] = &huma.Response{
		Description: "One ConformanceStep a line: each check, and last the report, which is recorded. A blank line comes every 5 s; a suite that " +
			"could not be run to its end ends with {\"problem\":...}, and nothing is recorded. Who closes the stream stops the suite.",
		Content: map[string]*huma.MediaType{ndjson: {}},
	}
}

type markProviderIn struct {
	Provider string `path:"p"`
	WriteParams
	Body api.MarkRequest // required: one that is lost takes no mark away
}

func (s *server) markProvider(ctx context.Context, in *markProviderIn) (*api.ProviderStatus, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.MarkProvider(ctx, api.ProviderID(in.Provider), in.Body, o)
}

type markCellIn struct {
	Cell string `path:"c"`
	WriteParams
	Body api.MarkRequest // required: one that is lost takes no mark away
}

func (s *server) markCell(ctx context.Context, in *markCellIn) (*api.CellAnswer, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.MarkCell(ctx, api.CellID(in.Cell), in.Body, o)
}
