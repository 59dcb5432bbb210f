package server

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grafos/grafos/api"
)

type bootstrapIn struct {
	Body api.BootstrapRequest
}

func (s *server) bootstrap(ctx context.Context, in *bootstrapIn) (*api.BootstrapAnswer, error) {
	return s.config.Agent.Bootstrap(ctx, in.Body)
}

type registerIn struct {
	Body api.RegisterRequest
}

// register takes only the cell that the certificate names.
func (s *server) register(ctx context.Context, in *registerIn) (*api.RegisterAnswer, error) {
	c := api.CallerFrom(ctx)
	if in.Body.CellID != c.Cell || in.Body.Provider != c.Provider {
		return nil, api.Refuse(api.IdentityMismatch, "the request registers cell %q of provider %q and the certificate is that of %s",
			clip(string(in.Body.CellID), api.MaxNameLen), clip(string(in.Body.Provider), api.MaxNameLen), c.Actor())
	}
	return s.config.Agent.Register(ctx, in.Body)
}

type renewIn struct {
	Cell string `path:"c"`
	Body api.RenewalRequest
}

func (s *server) renewIdentity(ctx context.Context, in *renewIn) (*api.BootstrapAnswer, error) {
	c := api.CallerFrom(ctx)
	return s.config.Agent.RenewIdentity(ctx, c.Provider, c.Cell, in.Body)
}

type reportIn struct {
	Cell string `path:"c"`
	Body api.Report
}

func (s *server) report(ctx context.Context, in *reportIn) (*api.ReportAnswer, error) {
	if err := checkReport(in.Body); err != nil {
		return nil, err
	}
	c := api.CallerFrom(ctx)
	return s.config.Agent.Report(ctx, c.Provider, c.Cell, in.Body)
}

// checkReport bounds the lists of a report, and refuses coordinates that nobody could follow: people and programs do.
func checkReport(r api.Report) error {
	for what, n := range map[string]int{"bound": len(r.Bound), "ended": len(r.Ended), "runs": len(r.Runs), "minted": len(r.Minted), "progress": len(r.Progress)} {
		if n > api.MaxReportItems {
			return api.Refuse(api.TooLarge, "the report has %d items in %s: at most %d", n, what, api.MaxReportItems)
		}
	}
	for i := range r.Bound {
		if c := r.Bound[i].Coordinate; c != "" && !strings.HasPrefix(c, "https://") {
			return api.Refuse(api.InvalidArgument, "the coordinate of lease %s is %.100q: it must begin with https://", r.Bound[i].LeaseID, c)
		}
	}
	return nil
}

// watch is a cell's session: one Desired a line.
func (s *server) watch(x *exchange, r *http.Request) error {
	req, err := watchRequest(r)
	if err != nil {
		return err
	}
	c := api.CallerFrom(r.Context())
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	out := newLineWriter[api.Desired](x)
	return stream(ctx, cancel, s.config.Agent.Watch(ctx, c.Provider, c.Cell, req), out, watchKeepAlive)
}

func watchRequest(r *http.Request) (api.WatchRequest, error) {
	q := r.URL.Query()
	var req api.WatchRequest
	for name, dst := range map[string]*uint64{"cell_epoch": &req.Epoch, "after": &req.After} {
		if q.Get(name) == "" {
			continue
		}
		n, err := strconv.ParseUint(q.Get(name), 10, 64)
		if err != nil {
			return req, api.Refuse(api.InvalidArgument, "query %s %q is not a whole number", name, clip(q.Get(name), 40))
		}
		*dst = n
	}
	for name, dst := range map[string]*bool{"standby": &req.Standby, "no_echo": &req.NoEcho} {
		switch q.Get(name) {
		case "", "false":
		case "true":
			*dst = true
		default:
			return req, api.Refuse(api.InvalidArgument, "query %s %q is neither true nor false", name, clip(q.Get(name), 40))
		}
	}
	return req, nil
}

func describeWatch(op *huma.Operation) {
	op.Parameters = append(pathParams(op.Path),
		queryParam("cell_epoch", huma.TypeInteger, "The epoch that registering answered."),
		queryParam("after", huma.TypeInteger, "The highest index that the cell has seen."),
		queryParam("standby", huma.TypeBoolean, "Opens the warm second session, which says nothing but that it lives."),
		queryParam("no_echo", huma.TypeBoolean, "The ends of leases that the agent reported itself are not sent back to it."))
	op.Responses["200"] = &huma.Response{
		Description: "One Desired a line; a blank line every 5 s; {\"problem\":...} as the last line where it ends with an error.",
		Content:     map[string]*huma.MediaType{ndjson: {}},
	}
}
