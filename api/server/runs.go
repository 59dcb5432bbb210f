package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grafos/grafos/api"
)

type planIn struct {
	ReadParams
	Body api.PlanRequest
}

func (s *server) plan(ctx context.Context, in *planIn) (*api.Plan, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.Plan(ctx, in.Body, o)
}

type startRunIn struct {
	WriteParams
	Body api.RunRequest
}

func (s *server) startRun(ctx context.Context, in *startRunIn) (*api.RunAnswer, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	if err := in.Body.Check(); err != nil {
		return nil, err
	}
	return s.config.Services.StartRun(ctx, in.Body, o)
}

type listRunsIn struct {
	Tenant   string `query:"tenant" maxLength:"63"`
	Provider string `query:"provider" maxLength:"63"`
	Cell     string `query:"cell_id" maxLength:"63"`
	State    string `query:"state" enum:"admitted,placed,running,succeeded,failed,expired,revoked,lost"`
	PageParams
	ReadParams
}

func (s *server) listRuns(ctx context.Context, in *listRunsIn) (*api.RunList, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.ListRuns(ctx, api.RunFilter{
		Tenant: api.TenantID(in.Tenant), Provider: api.ProviderID(in.Provider), Cell: api.CellID(in.Cell),
		State: api.RunState(in.State), Limit: in.Limit, Page: in.Page,
	}, o)
}

type runIn struct {
	ID string `path:"id" maxLength:"128"`
	ReadParams
}

func (s *server) showRun(ctx context.Context, in *runIn) (*api.RunAnswer, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.ShowRun(ctx, api.RunID(in.ID), o)
}

func (s *server) runArtifact(x *exchange, r *http.Request) error {
	return s.sendArtifact(x, r, r.PathValue("name"), "application/octet-stream")
}

func (s *server) runLogs(x *exchange, r *http.Request) error {
	return s.sendArtifact(x, r, api.ArtifactLog, "text/plain; charset=utf-8")
}

func (s *server) sendArtifact(x *exchange, r *http.Request, name, contentType string) error {
	body, a, err := s.config.Services.RunArtifact(r.Context(), api.RunID(r.PathValue("id")), name)
	if err != nil {
		return err
	}
	// What a tasklet wrote is never shown by a browser as a page of ours.
	x.Header().Set("Content-Disposition", "attachment")
	return sendBlob(x, body, a.Digest, a.Size, contentType)
}

// describeDownload says what a blob's answer is.
func describeDownload(op *huma.Operation) {
	op.Parameters = pathParams(op.Path)
	op.Responses["200"] = &huma.Response{
		Description: "The bytes; Grafos-Digest names their sha256.",
		Content:     map[string]*huma.MediaType{"application/octet-stream": {Schema: binarySchema()}},
	}
}

func binarySchema() *huma.Schema { return &huma.Schema{Type: huma.TypeString, Format: "binary"} }
